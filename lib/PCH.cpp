// Compiled once with the headers that every part of the compiler includes
// (lib/CMakeLists.txt): a precompiled header halves the build.
