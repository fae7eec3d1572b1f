; Line labelling, rule for rule that of examples/waltz. Labels: 0 none, 1 stands out, 2 goes in, 3 border.
(defglobal ?*fired* = 0 ?*sum* = 0)
(deftemplate stage (slot is))
(deftemplate line (slot region) (slot p1) (slot p2))
(deftemplate edge (slot region) (slot p1) (slot p2) (slot label (default 0)) (slot joined (default FALSE))
                  (slot plotted (default FALSE)))
(deftemplate junction (slot region) (slot kind) (slot base) (slot p1) (slot p2) (slot p3))

(deffunction fired () (bind ?*fired* (+ ?*fired* 1)))

; Above 0 if the second point is counter-clockwise of the first, seen from the base.
(deffunction turn (?base ?to ?from)
  (bind ?x (div ?base 4096))
  (bind ?y (mod ?base 4096))
  (- (* (- (div ?to 4096) ?x) (- (mod ?from 4096) ?y))
     (* (- (mod ?to 4096) ?y) (- (div ?from 4096) ?x))))

(deffunction is-arrow (?base ?a ?b ?c)
  (and (> (turn ?base ?a ?b) 0) (> (turn ?base ?b ?c) 0) (> (turn ?base ?a ?c) 0)))

(deffunction try-arrow (?region ?base ?a ?b ?c)
  (bind ?is (is-arrow ?base ?a ?b ?c))
  (if ?is then (assert (junction (region ?region) (kind arrow) (base ?base) (p1 ?a) (p2 ?b) (p3 ?c))))
  ?is)

; Three lines within half a turn are an arrow with its shaft in the middle, else a fork.
(deffunction join-three (?region ?base ?a ?b ?c)
  (if (not (or (try-arrow ?region ?base ?a ?b ?c) (try-arrow ?region ?base ?a ?c ?b)
               (try-arrow ?region ?base ?b ?a ?c) (try-arrow ?region ?base ?b ?c ?a)
               (try-arrow ?region ?base ?c ?a ?b) (try-arrow ?region ?base ?c ?b ?a)))
   then (assert (junction (region ?region) (kind fork) (base ?base) (p1 ?a) (p2 ?b) (p3 ?c)))))

(deffunction next-stage (?is)
  (switch ?is
    (case duplicate then detect)
    (case detect then first)
    (case first then second)
    (case second then label)
    (case label then plot)
    (default done)))

(defrule reverse-edges
  (stage (is duplicate))
  ?line <- (line (region ?region) (p1 ?p1) (p2 ?p2))
  =>
  (fired)
  (assert (edge (region ?region) (p1 ?p1) (p2 ?p2)))
  (assert (edge (region ?region) (p1 ?p2) (p2 ?p1)))
  (retract ?line))

(defrule make-3-junction
  (declare (salience 10))
  (stage (is detect))
  ?e1 <- (edge (region ?region) (p1 ?base) (p2 ?a) (joined FALSE))
  ?e2 <- (edge (p1 ?base) (p2 ?b&:(> ?b ?a)) (joined FALSE))
  ?e3 <- (edge (p1 ?base) (p2 ?c&:(> ?c ?b)) (joined FALSE))
  =>
  (fired)
  (join-three ?region ?base ?a ?b ?c)
  (modify ?e1 (joined TRUE))
  (modify ?e2 (joined TRUE))
  (modify ?e3 (joined TRUE)))

(defrule make-l
  (stage (is detect))
  ?e1 <- (edge (region ?region) (p1 ?base) (p2 ?a) (joined FALSE))
  ?e2 <- (edge (p1 ?base) (p2 ?b&:(> ?b ?a)) (joined FALSE))
  (not (edge (p1 ?base) (p2 ?c&~?a&~?b)))
  =>
  (fired)
  (assert (junction (region ?region) (kind l) (base ?base) (p1 ?a) (p2 0) (p3 ?b)))
  (modify ?e1 (joined TRUE))
  (modify ?e2 (joined TRUE)))

(defrule first-border-l
  (stage (is first))
  (junction (region ?region) (kind l) (base ?base) (p1 ?a) (p3 ?c))
  (not (junction (region ?region) (base ?other&:(> ?other ?base))))
  ?e1 <- (edge (p1 ?base) (p2 ?a) (label 0))
  ?e3 <- (edge (p1 ?base) (p2 ?c))
  =>
  (fired)
  (modify ?e1 (label 3))
  (modify ?e3 (label 3)))

(defrule first-border-arrow
  (stage (is first))
  (junction (region ?region) (kind arrow) (base ?base) (p1 ?a) (p2 ?b) (p3 ?c))
  (not (junction (region ?region) (base ?other&:(> ?other ?base))))
  ?e1 <- (edge (p1 ?base) (p2 ?a) (label 0))
  ?e2 <- (edge (p1 ?base) (p2 ?b))
  ?e3 <- (edge (p1 ?base) (p2 ?c))
  =>
  (fired)
  (modify ?e1 (label 3))
  (modify ?e2 (label 1))
  (modify ?e3 (label 3)))

(defrule second-border-l
  (stage (is second))
  (junction (region ?region) (kind l) (base ?base) (p1 ?a) (p3 ?c))
  (not (junction (region ?region) (base ?other&:(< ?other ?base))))
  ?e1 <- (edge (p1 ?base) (p2 ?a) (label 0))
  ?e3 <- (edge (p1 ?base) (p2 ?c))
  =>
  (fired)
  (modify ?e1 (label 3))
  (modify ?e3 (label 3)))

(defrule second-border-arrow
  (stage (is second))
  (junction (region ?region) (kind arrow) (base ?base) (p1 ?a) (p2 ?b) (p3 ?c))
  (not (junction (region ?region) (base ?other&:(< ?other ?base))))
  ?e1 <- (edge (p1 ?base) (p2 ?a) (label 0))
  ?e2 <- (edge (p1 ?base) (p2 ?b))
  ?e3 <- (edge (p1 ?base) (p2 ?c))
  =>
  (fired)
  (modify ?e1 (label 3))
  (modify ?e2 (label 1))
  (modify ?e3 (label 3)))

(defrule match-edge
  (stage (is label))
  (edge (p1 ?a) (p2 ?b) (label ?label&~0))
  ?target <- (edge (p1 ?b) (p2 ?a) (label 0))
  =>
  (fired)
  (modify ?target (label ?label)))

(defrule label-l
  (stage (is label))
  (junction (kind l) (base ?base))
  (edge (p1 ?base) (p2 ?a) (label 1|2))
  ?target <- (edge (p1 ?base) (p2 ~?a) (label 0))
  =>
  (fired)
  (modify ?target (label 3)))

(defrule fork-1
  (stage (is label))
  (junction (kind fork) (base ?base))
  (edge (p1 ?base) (p2 ?a) (label 1))
  ?target <- (edge (p1 ?base) (p2 ~?a) (label 0))
  =>
  (fired)
  (modify ?target (label 1)))

(defrule fork-2
  (stage (is label))
  (junction (kind fork) (base ?base))
  (edge (p1 ?base) (p2 ?a) (label 3))
  (edge (p1 ?base) (p2 ?b&~?a) (label 2))
  ?target <- (edge (p1 ?base) (p2 ~?a&~?b) (label 0))
  =>
  (fired)
  (modify ?target (label 3)))

(defrule fork-3
  (stage (is label))
  (junction (kind fork) (base ?base))
  (edge (p1 ?base) (p2 ?a) (label 3))
  (edge (p1 ?base) (p2 ?b&~?a) (label 3))
  ?target <- (edge (p1 ?base) (p2 ~?a&~?b) (label 0))
  =>
  (fired)
  (modify ?target (label 2)))

(defrule fork-4
  (stage (is label))
  (junction (kind fork) (base ?base))
  (edge (p1 ?base) (p2 ?a) (label 2))
  (edge (p1 ?base) (p2 ?b&~?a) (label 2))
  ?target <- (edge (p1 ?base) (p2 ~?a&~?b) (label 0))
  =>
  (fired)
  (modify ?target (label 2)))

(defrule arrow-shaft-stands-out-left
  (stage (is label))
  (junction (kind arrow) (base ?base) (p1 ?from) (p2 ?to))
  (edge (p1 ?base) (p2 ?from) (label 3|2))
  ?target <- (edge (p1 ?base) (p2 ?to) (label 0))
  =>
  (fired)
  (modify ?target (label 1)))

(defrule arrow-barbs-alike-left
  (stage (is label))
  (junction (kind arrow) (base ?base) (p1 ?from) (p3 ?to))
  (edge (p1 ?base) (p2 ?from) (label ?label&3|2))
  ?target <- (edge (p1 ?base) (p2 ?to) (label 0))
  =>
  (fired)
  (modify ?target (label ?label)))

(defrule arrow-shaft-goes-in-left
  (stage (is label))
  (junction (kind arrow) (base ?base) (p1 ?from) (p2 ?to))
  (edge (p1 ?base) (p2 ?from) (label 1))
  ?target <- (edge (p1 ?base) (p2 ?to) (label 0))
  =>
  (fired)
  (modify ?target (label 2)))

(defrule arrow-barbs-stand-out-left
  (stage (is label))
  (junction (kind arrow) (base ?base) (p1 ?from) (p3 ?to))
  (edge (p1 ?base) (p2 ?from) (label 1))
  ?target <- (edge (p1 ?base) (p2 ?to) (label 0))
  =>
  (fired)
  (modify ?target (label 1)))

(defrule arrow-barb-stands-out-left
  (stage (is label))
  (junction (kind arrow) (base ?base) (p2 ?from) (p1 ?to))
  (edge (p1 ?base) (p2 ?from) (label 2))
  ?target <- (edge (p1 ?base) (p2 ?to) (label 0))
  =>
  (fired)
  (modify ?target (label 1)))

(defrule arrow-shaft-stands-out-right
  (stage (is label))
  (junction (kind arrow) (base ?base) (p3 ?from) (p2 ?to))
  (edge (p1 ?base) (p2 ?from) (label 3|2))
  ?target <- (edge (p1 ?base) (p2 ?to) (label 0))
  =>
  (fired)
  (modify ?target (label 1)))

(defrule arrow-barbs-alike-right
  (stage (is label))
  (junction (kind arrow) (base ?base) (p3 ?from) (p1 ?to))
  (edge (p1 ?base) (p2 ?from) (label ?label&3|2))
  ?target <- (edge (p1 ?base) (p2 ?to) (label 0))
  =>
  (fired)
  (modify ?target (label ?label)))

(defrule arrow-shaft-goes-in-right
  (stage (is label))
  (junction (kind arrow) (base ?base) (p3 ?from) (p2 ?to))
  (edge (p1 ?base) (p2 ?from) (label 1))
  ?target <- (edge (p1 ?base) (p2 ?to) (label 0))
  =>
  (fired)
  (modify ?target (label 2)))

(defrule arrow-barbs-stand-out-right
  (stage (is label))
  (junction (kind arrow) (base ?base) (p3 ?from) (p1 ?to))
  (edge (p1 ?base) (p2 ?from) (label 1))
  ?target <- (edge (p1 ?base) (p2 ?to) (label 0))
  =>
  (fired)
  (modify ?target (label 1)))

(defrule arrow-barb-stands-out-right
  (stage (is label))
  (junction (kind arrow) (base ?base) (p2 ?from) (p3 ?to))
  (edge (p1 ?base) (p2 ?from) (label 2))
  ?target <- (edge (p1 ?base) (p2 ?to) (label 0))
  =>
  (fired)
  (modify ?target (label 1)))

(defrule plot
  (stage (is plot))
  ?edge <- (edge (label ~0) (plotted FALSE))
  =>
  (fired)
  (modify ?edge (plotted TRUE)))

(defrule plot-border
  (stage (is plot))
  ?edge <- (edge (label 0) (plotted FALSE))
  =>
  (fired)
  (modify ?edge (label 3) (plotted TRUE)))

(defrule stage-is-over
  (declare (salience -10))
  ?stage <- (stage (is ?is&~done))
  =>
  (fired)
  (modify ?stage (is (next-stage ?is))))

(deffunction sum-of-labels ()
  (bind ?*sum* 0)
  (do-for-all-facts ((?e edge)) TRUE (bind ?*sum* (+ ?*sum* (* ?e:label (+ ?e:p1 (* 31 ?e:p2))))))
  ?*sum*)

(deffunction count-of-label (?label)
  (bind ?*sum* 0)
  (do-for-all-facts ((?e edge)) (= ?e:label ?label) (bind ?*sum* (+ ?*sum* 1)))
  ?*sum*)
