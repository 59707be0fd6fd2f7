// Package pando is the root of the module, and empty: the program is
// cmd/pando, the ideas are in querytree, and ARCHITECTURE.md is the map. The
// test beside this file holds the map to the code: which folder may import
// which.
package pando
