"""The live pages beside admin: a page calls a verb of `ops` and draws what it returns; a button calls one."""
