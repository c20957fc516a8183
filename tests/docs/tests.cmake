# docs/DESIGN.md lists every source file.
find_package(Python3 COMPONENTS Interpreter)
if(Python3_FOUND)
  add_test(NAME docs.files COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/docs/files.py ${PROJECT_SOURCE_DIR})
endif()
