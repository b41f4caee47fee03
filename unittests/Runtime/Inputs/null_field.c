/* An artefact whose writer forgot its functions. */
#include "moert/moert.h"

MOERT_API const moert_artefact moert_artefact_symbol __asm__(
    "moert_artefact") = {MOERT_ABI_VERSION, "broken", "{}", 0, 0};
