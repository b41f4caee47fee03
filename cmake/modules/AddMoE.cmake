# Thin wrappers that keep the folders' CMake files to names and sources.

include(GoogleTest)

if(MOE_SANITIZE)
  # UBSan would print and go on, and the tests pass.
  add_compile_options(-fsanitize=${MOE_SANITIZE} -fno-sanitize-recover=all
                      -fno-omit-frame-pointer -g)
  add_link_options(-fsanitize=${MOE_SANITIZE})
endif()
add_compile_options(-Wall -Wextra -Wno-unused-parameter)
if(MOE_WARNINGS_AS_ERRORS)
  add_compile_options(-Werror -Wno-error=deprecated-declarations)
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    # What its optimizer suspects depends on what it inlines of others' headers.
    foreach(_guess array-bounds dangling-pointer free-nonheap-object maybe-uninitialized
                   nonnull restrict stringop-overflow stringop-overread use-after-free)
      add_compile_options(-Wno-error=${_guess})
    endforeach()
  endif()
endif()

find_program(MOE_LLD NAMES ld.lld-22 ld.lld)
if(MOE_LLD)
  # Linking is a matter of a second with lld and of many with bfd.
  get_filename_component(_lld_dir ${MOE_LLD} REALPATH)
  get_filename_component(_lld_dir ${_lld_dir} DIRECTORY)
  add_link_options(-B${_lld_dir} -fuse-ld=lld)
endif()

if(MOE_BUILD_COMPILER)
  if(NOT MLIR_DIR)
    find_program(MOE_LLVM_CONFIG NAMES llvm-config-22 llvm-config)
    if(MOE_LLVM_CONFIG)
      execute_process(COMMAND ${MOE_LLVM_CONFIG} --prefix OUTPUT_VARIABLE _llvm_prefix
                      OUTPUT_STRIP_TRAILING_WHITESPACE)
      set(MLIR_DIR ${_llvm_prefix}/lib/cmake/mlir)
    endif()
  endif()
  find_package(MLIR REQUIRED CONFIG)
  if(NOT LLVM_VERSION_MAJOR EQUAL 22)
    message(FATAL_ERROR "expected MLIR 22 but found ${LLVM_VERSION} in ${MLIR_DIR}; set MLIR_DIR")
  endif()
  list(APPEND CMAKE_MODULE_PATH ${MLIR_CMAKE_DIR} ${LLVM_CMAKE_DIR})
  include(TableGen)
  include(AddLLVM)
  include(AddMLIR)
  # add_definitions(${LLVM_DEFINITIONS}) would garble the flags.
  separate_arguments(MOE_LLVM_DEFINITIONS NATIVE_COMMAND ${LLVM_DEFINITIONS})
  if(NOT LLVM_ENABLE_RTTI)
    set(MOE_LLVM_FLAGS -fno-rtti)
  endif()
  list(APPEND MOE_LLVM_FLAGS -fno-exceptions)
  if(MOE_STATIC_LLVM)
    # The package's static targets name shared libraries as what they need, so
    # archives are linked as files; the linker takes what is needed of them.
    get_property(_archives GLOBAL PROPERTY MLIR_ALL_LIBS)
    list(APPEND _archives ${LLVM_AVAILABLE_LIBS})
    list(FILTER _archives EXCLUDE REGEX "Test|CAPI|Polly")
    set(MOE_MLIR_LIBS -Wl,--start-group)
    foreach(_archive ${_archives})
      set(_type "")
      if(TARGET ${_archive})
        get_target_property(_type ${_archive} TYPE)
      endif()
      if(_type STREQUAL "STATIC_LIBRARY")
        list(APPEND MOE_MLIR_LIBS $<TARGET_FILE:${_archive}>)
      endif()
    endforeach()
    list(APPEND MOE_MLIR_LIBS -Wl,--end-group)
    # Compressed debug information and the like; the runtime package suffices.
    find_library(MOE_ZLIB NAMES z libz.so.1 REQUIRED)
    find_library(MOE_ZSTD NAMES zstd libzstd.so.1 REQUIRED)
    list(APPEND MOE_MLIR_LIBS ${MOE_ZLIB} ${MOE_ZSTD} ${CMAKE_DL_LIBS} m)
  else()
    set(MOE_MLIR_LIBS MLIR LLVM)
  endif()

  # The references of dialects and passes, in `docs` of the build folder.
  add_custom_target(moe-doc ALL)
endif()

# moe_install_library(component set targets...): installs libraries that
# find_package(MoEMLIR) gives as a part of `component`.
function(moe_install_library component set)
  set_target_properties(${ARGN} PROPERTIES
    INSTALL_RPATH "\$ORIGIN" INSTALL_RPATH_USE_LINK_PATH ON)
  install(TARGETS ${ARGN} EXPORT ${set}
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT ${component}
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT ${component})
endfunction()

# moe_add_plain_library(name SOURCES... [DEPENDS targets...])
# A static library of plain C++ that knows nothing of MLIR.
function(moe_add_plain_library name)
  cmake_parse_arguments(ARG "" "" "DEPENDS" ${ARGN})
  add_library(${name} STATIC ${ARG_UNPARSED_ARGUMENTS})
  target_include_directories(${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_link_libraries(${name} PUBLIC ${ARG_DEPENDS})
endfunction()

# moe_add_mlir_library(name SOURCES... [DEPENDS targets...])
# One floor's part of libMoEMLIR: an object library, so that the whole is one
# shared library that is dialect, passes and plugin. DEPENDS names libraries of
# plain C++; the headers that TableGen makes are always there.
function(moe_add_mlir_library name)
  cmake_parse_arguments(ARG "" "" "DEPENDS" ${ARGN})
  add_library(${name} OBJECT ${ARG_UNPARSED_ARGUMENTS})
  moe_use_mlir(${name})
  get_property(tablegen GLOBAL PROPERTY MOE_TABLEGEN_TARGETS)
  add_dependencies(${name} ${tablegen})
  if(ARG_DEPENDS)
    target_link_libraries(${name} PRIVATE ${ARG_DEPENDS})
    set_property(GLOBAL APPEND PROPERTY MOE_PLAIN_PARTS ${ARG_DEPENDS})
  endif()
  if(NOT name STREQUAL MoEPCH)
    add_dependencies(${name} MoEPCH)
    target_precompile_headers(${name} REUSE_FROM MoEPCH)
  endif()
  set_property(GLOBAL APPEND PROPERTY MOE_MLIR_PARTS ${name})
endfunction()

# Include paths, definitions and flags that code on MLIR needs.
function(moe_use_mlir target)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/include ${PROJECT_BINARY_DIR}/include)
  target_include_directories(${target} SYSTEM PRIVATE ${MLIR_INCLUDE_DIRS} ${LLVM_INCLUDE_DIRS})
  target_compile_definitions(${target} PRIVATE ${MOE_LLVM_DEFINITIONS})
  target_compile_options(${target} PRIVATE ${MOE_LLVM_FLAGS})
endfunction()

# moe_add_tool(name SOURCES... [DEPENDS targets...] [MLIR])
# MLIR: a tool of the compiler, linked to libMoEMLIR.
function(moe_add_tool name)
  cmake_parse_arguments(ARG "MLIR" "" "DEPENDS" ${ARGN})
  add_executable(${name} ${ARG_UNPARSED_ARGUMENTS})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/include)
  if(ARG_MLIR)
    moe_use_mlir(${name})
    target_link_libraries(${name} PRIVATE MoEMLIR)
  endif()
  target_link_libraries(${name} PRIVATE ${ARG_DEPENDS})
  # It finds libraries beside its folder, wherever both are carried.
  set_target_properties(${name} PROPERTIES
    BUILD_RPATH_USE_ORIGIN ON
    INSTALL_RPATH "\$ORIGIN/../${CMAKE_INSTALL_LIBDIR}"
    INSTALL_RPATH_USE_LINK_PATH ON)
  install(TARGETS ${name} RUNTIME COMPONENT Tools)
endfunction()

# moe_add_unittest(name SOURCES... [DEPENDS targets...] [MLIR])
# One GoogleTest program, registered test by test with ctest.
function(moe_add_unittest name)
  cmake_parse_arguments(ARG "MLIR" "" "DEPENDS" ${ARGN})
  add_executable(${name} ${ARG_UNPARSED_ARGUMENTS})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/unittests)
  # Compiling the tests takes longer than running them.
  target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O1>)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/include)
  if(ARG_MLIR)
    moe_use_mlir(${name})
    target_link_libraries(${name} PRIVATE MoEMLIR)
  endif()
  target_link_libraries(${name} PRIVATE ${ARG_DEPENDS} GTest::gtest GTest::gtest_main)
  gtest_discover_tests(${name} TEST_PREFIX ${name}. DISCOVERY_MODE PRE_TEST
                       PROPERTIES TIMEOUT 600)
endfunction()

# moe_add_doc(name file generator...): `docs/<name>.md` of the build folder, which
# mlir-tblgen makes of a .td file in the current folder; a part of `moe-doc`.
function(moe_add_doc name file)
  set(LLVM_TARGET_DEFINITIONS ${file})
  tablegen(MLIR ${name}.md ${ARGN})
  set(doc ${PROJECT_BINARY_DIR}/docs/${name}.md)
  add_custom_command(OUTPUT ${doc}
    COMMAND ${CMAKE_COMMAND} -E copy ${CMAKE_CURRENT_BINARY_DIR}/${name}.md ${doc}
    DEPENDS ${CMAKE_CURRENT_BINARY_DIR}/${name}.md)
  add_custom_target(moe-doc-${name} DEPENDS ${doc})
  add_dependencies(moe-doc moe-doc-${name})
endfunction()

# moe_add_passes(target Name): the TableGen of the Passes.td in the current
# folder, and its reference.
function(moe_add_passes target name)
  set(LLVM_TARGET_DEFINITIONS Passes.td)
  mlir_tablegen(Passes.h.inc -gen-pass-decls -name ${name})
  moe_add_tablegen_target(${target})
  moe_add_doc(${name}Passes Passes.td -gen-pass-doc)
endfunction()

# moe_add_dialect(Name dialect): the TableGen of a dialect whose files are
# <Name>{Dialect,Attributes,Interfaces,Types,Ops}.td in the current folder.
# Makes target MoE<Name>IncGen, and adds the dialect's reference to `moe-doc`.
function(moe_add_dialect name dialect)
  set(LLVM_TARGET_DEFINITIONS ${name}Ops.td)
  mlir_tablegen(${name}Dialect.h.inc -gen-dialect-decls -dialect=${dialect})
  mlir_tablegen(${name}Dialect.cpp.inc -gen-dialect-defs -dialect=${dialect})
  mlir_tablegen(${name}Ops.h.inc -gen-op-decls)
  mlir_tablegen(${name}Ops.cpp.inc -gen-op-defs)
  mlir_tablegen(${name}Types.h.inc -gen-typedef-decls -typedefs-dialect=${dialect})
  mlir_tablegen(${name}Types.cpp.inc -gen-typedef-defs -typedefs-dialect=${dialect})
  mlir_tablegen(${name}Attributes.h.inc -gen-attrdef-decls -attrdefs-dialect=${dialect})
  mlir_tablegen(${name}Attributes.cpp.inc -gen-attrdef-defs -attrdefs-dialect=${dialect})
  set(LLVM_TARGET_DEFINITIONS ${name}Attributes.td)
  mlir_tablegen(${name}Enums.h.inc -gen-enum-decls)
  mlir_tablegen(${name}Enums.cpp.inc -gen-enum-defs)
  set(LLVM_TARGET_DEFINITIONS ${name}Interfaces.td)
  mlir_tablegen(${name}Interfaces.h.inc -gen-op-interface-decls)
  mlir_tablegen(${name}Interfaces.cpp.inc -gen-op-interface-defs)
  moe_add_tablegen_target(MoE${name}IncGen)
  moe_add_doc(${name}Dialect ${name}Ops.td -gen-dialect-doc -dialect=${dialect})
  moe_add_doc(${name}Interfaces ${name}Interfaces.td -gen-op-interface-docs)
endfunction()

# moe_add_tablegen_target(name): what the mlir_tablegen calls so far make, built
# before every part of the compiler.
macro(moe_add_tablegen_target name)
  add_public_tablegen_target(${name})
  set_property(GLOBAL APPEND PROPERTY MOE_TABLEGEN_TARGETS ${name})
endmacro()
