# Who may include whom, and that the tools do not link libfuse.
find_package(Python3 COMPONENTS Interpreter)
if(Python3_FOUND)
  add_test(NAME layers COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/layers/layers.py ${PROJECT_SOURCE_DIR}
                               ${CMAKE_BINARY_DIR}/bin)
endif()
