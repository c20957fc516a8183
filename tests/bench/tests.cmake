# The suite's turns, tables, ratios and sources of data. tests/mount/bench.sh runs the suite itself.
find_package(Python3 COMPONENTS Interpreter)
if(Python3_FOUND)
  add_test(NAME bench.report COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_SOURCE_DIR}/bench/report.py ${PROJECT_SOURCE_DIR}/bench $<TARGET_FILE:fastq>)
  add_test(NAME bench.runner COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_SOURCE_DIR}/bench/runner.py ${PROJECT_SOURCE_DIR}/bench)
endif()
