// Package runopts turns the flags of `berth run` and `berth create` into the
// request that makes a container.
//
// What the user typed wrongly is an error that names the flag and the value;
// what only the engine can know (does the image, the network, the driver exist)
// is left to it. Files that flags name are read here, for the engine may be
// elsewhere.
package runopts
