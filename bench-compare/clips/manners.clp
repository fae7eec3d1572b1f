; Miss Manners, rule for rule that of examples/manners. The newest seating comes first by the strategy `depth`.
(defglobal ?*fired* = 0)
(deftemplate guest (slot name) (slot sex) (slot hobby))
(deftemplate context (slot state))
(deftemplate count (slot next))
(deftemplate last-seat (slot seat))
(deftemplate seating (slot id) (slot parent) (slot seat1) (slot name1) (slot seat2) (slot name2) (slot path-done))
(deftemplate path (slot seating) (slot name) (slot seat))
(deftemplate chosen (slot seating) (slot name) (slot hobby))
(deftemplate seated (slot seat) (slot name))

(deffunction fired () (bind ?*fired* (+ ?*fired* 1)))

(defrule assign-first-seat
  ?context <- (context (state start))
  (guest (name ?name))
  ?count <- (count (next ?next))
  =>
  (fired)
  (assert (seating (id ?next) (parent 0) (seat1 1) (name1 ?name) (seat2 1) (name2 ?name) (path-done TRUE)))
  (assert (path (seating ?next) (name ?name) (seat 1)))
  (modify ?count (next (+ ?next 1)))
  (modify ?context (state assign)))

(defrule find-seating
  ?context <- (context (state assign))
  (seating (id ?id) (seat2 ?seat) (name2 ?left) (path-done TRUE))
  (guest (name ?left) (sex ?sex) (hobby ?hobby))
  (guest (name ?right) (sex ~?sex) (hobby ?hobby))
  ?count <- (count (next ?next))
  (not (path (seating ?id) (name ?right)))
  (not (chosen (seating ?id) (name ?right) (hobby ?hobby)))
  =>
  (fired)
  (assert (seating (id ?next) (parent ?id) (seat1 ?seat) (name1 ?left) (seat2 (+ ?seat 1)) (name2 ?right)
                   (path-done FALSE)))
  (assert (path (seating ?next) (name ?right) (seat (+ ?seat 1))))
  (assert (chosen (seating ?id) (name ?right) (hobby ?hobby)))
  (modify ?count (next (+ ?next 1)))
  (modify ?context (state make-path)))

(defrule make-path
  (declare (salience 1000))
  (context (state make-path))
  (seating (id ?id) (parent ?parent) (path-done FALSE))
  (path (seating ?parent) (name ?name) (seat ?seat))
  (not (path (seating ?id) (name ?name)))
  =>
  (fired)
  (assert (path (seating ?id) (name ?name) (seat ?seat))))

(defrule path-done
  ?context <- (context (state make-path))
  ?seating <- (seating (path-done FALSE))
  =>
  (fired)
  (modify ?seating (path-done TRUE))
  (modify ?context (state check-done)))

(defrule are-we-done
  (declare (salience 10))
  ?context <- (context (state check-done))
  (last-seat (seat ?seat))
  (seating (seat2 ?seat))
  =>
  (fired)
  (modify ?context (state print)))

(defrule go-on
  ?context <- (context (state check-done))
  =>
  (fired)
  (modify ?context (state assign)))

(defrule print-results
  (declare (salience 10))
  (context (state print))
  (last-seat (seat ?last))
  (seating (id ?id) (seat2 ?last))
  ?path <- (path (seating ?id) (name ?name) (seat ?seat))
  =>
  (fired)
  (assert (seated (seat ?seat) (name ?name)))
  (retract ?path))

(defrule all-done
  (context (state print))
  =>
  (fired)
  (halt))

; How many have a seat of their own, beside a guest of the other sex with a common hobby.
(deffunction seated ()
  (bind ?count 0)
  (do-for-all-facts ((?s seated)) TRUE
    (if (or (= ?s:seat 1)
            (any-factp ((?l seated))
              (and (= ?l:seat (- ?s:seat 1))
                   (any-factp ((?g guest))
                     (and (= ?g:name ?l:name)
                          (any-factp ((?h guest))
                            (and (= ?h:name ?s:name) (= ?g:hobby ?h:hobby) (neq ?g:sex ?h:sex))))))))
     then (bind ?count (+ ?count 1))))
  ?count)
