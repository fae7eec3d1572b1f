//! Graphs as text, for Graphviz (DOT) and for Mermaid.

use std::fmt::Write as _;

/// How a node looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    Box,
    Round,
}

/// A directed graph; its nodes stand in groups that have a title.
#[derive(Default)]
pub(crate) struct Graph {
    groups: Vec<(String, Vec<usize>)>,
    nodes: Vec<(Shape, String)>,
    edges: Vec<(usize, usize, &'static str)>,
}

impl Graph {
    /// Nodes that are added from now on stand under this title.
    pub(crate) fn group(&mut self, title: String) {
        self.groups.push((title, Vec::new()));
    }

    /// Adds a node, whose label may have several lines; gives its number.
    pub(crate) fn node(&mut self, shape: Shape, label: String) -> usize {
        self.nodes.push((shape, label));
        let node = self.nodes.len() - 1;
        if let Some((_, nodes)) = self.groups.last_mut() {
            nodes.push(node);
        }
        node
    }

    /// Adds an edge with a label, which may be empty.
    pub(crate) fn edge(&mut self, from: usize, to: usize, label: &'static str) {
        self.edges.push((from, to, label));
    }

    /// The graph for Graphviz.
    pub(crate) fn to_dot(&self) -> String {
        let mut out = String::from("digraph {\n");
        self.write_nodes(
            &mut out,
            |out, at, title| {
                line(out, format_args!("  subgraph cluster_{at} {{\n  label={};", dot(title)));
            },
            |out, node, shape, label| {
                let shape = match shape {
                    Shape::Box => "box",
                    Shape::Round => "ellipse",
                };
                line(out, format_args!("  n{node} [shape={shape}, label={}];", dot(label)));
            },
            "  }",
        );
        for &(from, to, label) in &self.edges {
            match label {
                "" => line(&mut out, format_args!("  n{from} -> n{to};")),
                label => line(&mut out, format_args!("  n{from} -> n{to} [label={}];", dot(label))),
            }
        }
        out.push_str("}\n");
        out
    }

    /// The graph for Mermaid.
    pub(crate) fn to_mermaid(&self) -> String {
        let mut out = String::from("flowchart TD\n");
        self.write_nodes(
            &mut out,
            |out, at, title| {
                line(out, format_args!("  subgraph g{at} [{}]", mermaid(title)));
            },
            |out, node, shape, label| {
                let label = mermaid(label);
                match shape {
                    Shape::Box => line(out, format_args!("  n{node}[{label}]")),
                    Shape::Round => line(out, format_args!("  n{node}([{label}])")),
                }
            },
            "  end",
        );
        for &(from, to, label) in &self.edges {
            match label {
                "" => line(&mut out, format_args!("  n{from} --> n{to}")),
                label => line(&mut out, format_args!("  n{from} -->|{}| n{to}", mermaid(label))),
            }
        }
        out
    }

    /// Writes the groups with their nodes; the nodes of a graph without groups alone.
    fn write_nodes(
        &self,
        out: &mut String,
        open: impl Fn(&mut String, usize, &str),
        node: impl Fn(&mut String, usize, Shape, &str),
        close: &str,
    ) {
        let write = |out: &mut String, at: usize| {
            let (shape, label) = &self.nodes[at];
            node(out, at, *shape, label);
        };
        if self.groups.is_empty() {
            (0..self.nodes.len()).for_each(|at| write(out, at));
        }
        for (at, (title, nodes)) in self.groups.iter().enumerate() {
            open(out, at, title);
            nodes.iter().for_each(|&node| write(out, node));
            line(out, format_args!("{close}"));
        }
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("strings take everything");
}

/// A quoted label: quotes and backslashes are the only special characters in one.
fn dot(label: &str) -> String {
    let label = label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{label}\"")
}

/// A quoted label: what Mermaid or HTML could take for its own goes by number.
fn mermaid(label: &str) -> String {
    let mut out = String::from("\"");
    for char in label.chars() {
        match char {
            '\n' => out.push_str("<br/>"),
            '"' | '#' | '&' | '<' | '>' | '`' | '\\' => {
                write!(out, "#{};", u32::from(char)).expect("strings take everything");
            }
            char => out.push(char),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_cannot_break_out_of_their_quotes() {
        let mut graph = Graph::default();
        let from = graph.node(Shape::Box, "a == \"x\\\"\nb < `c` & #1".to_owned());
        let to = graph.node(Shape::Round, "t".to_owned());
        graph.edge(from, to, "reads");
        assert_eq!(
            graph.to_dot(),
            "digraph {
  n0 [shape=box, label=\"a == \\\"x\\\\\\\"\\nb < `c` & #1\"];
  n1 [shape=ellipse, label=\"t\"];
  n0 -> n1 [label=\"reads\"];
}
"
        );
        assert_eq!(
            graph.to_mermaid(),
            "flowchart TD
  n0[\"a == #34;x#92;#34;<br/>b #60; #96;c#96; #38; #35;1\"]
  n1([\"t\"])
  n0 -->|\"reads\"| n1
"
        );
    }
}
