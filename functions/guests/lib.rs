//! Nothing: the guests are the files beside this one.
