//! Finds circles in a graph.

use std::collections::{BTreeMap, BTreeSet};

/// Nodes, each with those that it points to.
pub type Graph<N> = BTreeMap<N, BTreeSet<N>>;

/// Finds for each circle of `graph` one shortest way around it, from its first node on.
pub fn circles<N: Ord + Clone>(graph: &Graph<N>) -> Vec<Vec<N>> {
    let (mut told, mut circles) = (BTreeSet::new(), Vec::new());
    for start in graph.keys() {
        if told.contains(start) {
            continue;
        }
        if let Some(circle) = way_back(graph, start) {
            told.extend(circle.iter().cloned());
            circles.push(circle);
        }
    }
    circles
}

/// The shortest way from `start` to itself.
fn way_back<N: Ord + Clone>(graph: &Graph<N>, start: &N) -> Option<Vec<N>> {
    let mut before: BTreeMap<&N, &N> = BTreeMap::new();
    let mut edge = vec![start];
    while !edge.is_empty() {
        let mut next = Vec::new();
        for node in edge {
            for target in graph.get(node).into_iter().flatten() {
                if target == start {
                    let mut way = vec![node];
                    while let Some(previous) = before.get(way[way.len() - 1]) {
                        way.push(previous);
                    }
                    return Some(way.into_iter().rev().cloned().collect());
                }
                if !before.contains_key(target) {
                    before.insert(target, node);
                    next.push(target);
                }
            }
        }
        edge = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(u8, u8)]) -> Graph<u8> {
        let mut graph = Graph::new();
        for (from, to) in edges {
            graph.entry(*from).or_insert_with(BTreeSet::new).insert(*to);
        }
        graph
    }

    #[test]
    fn a_tree_has_no_circle() {
        assert!(circles(&graph(&[(1, 2), (1, 3), (2, 3), (3, 4)])).is_empty());
    }

    #[test]
    fn each_circle_is_found_once() {
        let found = circles(&graph(&[(1, 2), (2, 3), (3, 1), (3, 4), (5, 6), (6, 5), (7, 7)]));
        assert_eq!(found, [vec![1, 2, 3], vec![5, 6], vec![7]]);
    }
}
