/* An artefact of a runtime that is not ours. */
#include "moert/moert.h"

MOERT_API const uint32_t moert_artefact_symbol __asm__("moert_artefact") =
    MOERT_ABI_VERSION + 41;
