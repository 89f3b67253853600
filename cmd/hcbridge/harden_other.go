//go:build !linux

package main

// harden is for Linux alone.
func harden() {}
