// Package rollouts tells of all clusters at once how commits reach them: it joins
// what control loops say, over their HTTP APIs, with what the tree's metrics say.
//
//	v, err := rollouts.New(rollouts.Config{Loops: urls, Tree: tree, MayCommand: may})
//	mux.Handle(rollouts.Path, v)
//	mux.Handle(rollouts.Path+"/", v)
//
// It decides nothing and keeps nothing: loops decide each for itself, and whoever
// loses this view loses a page. What a loop does not tell, the metrics tell in
// part; who does not answer is named. However often it is asked, a loop is asked
// once a second at most, and a bounded number of loops at the same time.
package rollouts
