package export

import (
	"cmp"
	"container/heap"
	"slices"

	"github.com/AutumnsGrove/Patina/backup/source"
)

// order sorts tables parents first and then by name; the tables of a cycle of
// foreign keys stand together. The order depends on names and foreign keys
// alone, so that the same data always gives the same dump.
func order(tables []*table) []*table {
	slices.SortFunc(tables, func(a, b *table) int { return cmp.Compare(a.Name, b.Name) })
	index := map[string]int{}
	for i, t := range tables {
		index[source.Fold(t.Name)] = i
	}
	parents := make([][]int, len(tables))
	for i, t := range tables {
		for _, p := range t.References {
			if j, ok := index[p.Table]; ok && j != i {
				parents[i] = append(parents[i], j)
			}
		}
	}
	group, members := components(parents)

	waits := make([]int, len(members))      // parents of a group not yet written
	children := make([][]int, len(members)) // with repeats, like waits
	for i, ps := range parents {
		for _, p := range ps {
			if group[p] != group[i] {
				waits[group[i]]++
				children[group[p]] = append(children[group[p]], group[i])
			}
		}
	}
	ready := &groups{first: make([]int, len(members))}
	for g, m := range members {
		slices.Sort(m)
		ready.first[g] = m[0]
		if waits[g] == 0 {
			heap.Push(ready, g)
		}
	}
	out := make([]*table, 0, len(tables))
	for ready.Len() > 0 {
		g := heap.Pop(ready).(int)
		for _, i := range members[g] {
			out = append(out, tables[i])
		}
		for _, c := range children[g] {
			if waits[c]--; waits[c] == 0 {
				heap.Push(ready, c)
			}
		}
	}
	return out
}

// groups is a heap of groups by their first table's name.
type groups struct{ first, heap []int }

func (g *groups) Len() int           { return len(g.heap) }
func (g *groups) Less(i, j int) bool { return g.first[g.heap[i]] < g.first[g.heap[j]] }
func (g *groups) Swap(i, j int)      { g.heap[i], g.heap[j] = g.heap[j], g.heap[i] }
func (g *groups) Push(x any)         { g.heap = append(g.heap, x.(int)) }
func (g *groups) Pop() any {
	last := g.heap[len(g.heap)-1]
	g.heap = g.heap[:len(g.heap)-1]
	return last
}

// components gives the strongly connected components of a graph (Tarjan): for
// each node its component, and for each component its nodes.
func components(edges [][]int) (group []int, members [][]int) {
	n := len(edges)
	group = make([]int, n)
	low, number := make([]int, n), make([]int, n) // number 0: not yet visited
	onStack := make([]bool, n)
	var stack []int
	next := 1
	var visit func(v int)
	visit = func(v int) {
		number[v], low[v] = next, next
		next++
		stack, onStack[v] = append(stack, v), true
		for _, w := range edges[v] {
			if number[w] == 0 {
				visit(w)
				low[v] = min(low[v], low[w])
			} else if onStack[w] {
				low[v] = min(low[v], number[w])
			}
		}
		if low[v] != number[v] {
			return
		}
		var component []int
		for w := -1; w != v; {
			w = stack[len(stack)-1]
			stack, onStack[w] = stack[:len(stack)-1], false
			group[w] = len(members)
			component = append(component, w)
		}
		members = append(members, component)
	}
	for v := range n {
		if number[v] == 0 {
			visit(v)
		}
	}
	return group, members
}
