# cmake -DSOURCE=FOLDER -DOUTPUT=FILE -P WriteGitDescription.cmake: a header that
# defines MOE_GIT_DESCRIPTION, the commit of the sources, with "-dirty" where they
# differ from it; "" where there is no git. The file changes only with the text.
execute_process(
  COMMAND git describe --always --tags --dirty
  WORKING_DIRECTORY ${SOURCE}
  OUTPUT_VARIABLE description
  ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT "#define MOE_GIT_DESCRIPTION \"${description}\"\n" @ONLY)
