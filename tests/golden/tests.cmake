# Stores made by older builds.
holo_test(golden golden core remap meta store cuda ecc base)
target_sources(test_golden_golden PRIVATE power/trace.c)
target_compile_definitions(test_golden_golden PRIVATE GOLDEN="${CMAKE_CURRENT_SOURCE_DIR}/golden")
# Read by docs/FORMAT.md alone.
find_package(Python3 COMPONENTS Interpreter)
if(Python3_FOUND)
  add_test(NAME golden.reader COMMAND ${Python3_EXECUTABLE} -W ignore ${CMAKE_CURRENT_SOURCE_DIR}/golden/reader.py
                                      ${CMAKE_CURRENT_SOURCE_DIR}/golden)
endif()
