"""The benchmark of molecules, part by part."""
