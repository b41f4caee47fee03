/* A shared object like any other. */
int not_an_artefact(void) { return 0; }
