foreach(name
  code
  column
  container
  containers
  cost
  decode
  engines
  field
  layout
  plan
  rebuild
  success
  wave_ecc
)
  holo_test(ecc ${name} ecc base)
endforeach()
target_link_libraries(test_ecc_decode PRIVATE m)
target_link_libraries(test_ecc_success PRIVATE m)

# The example of libwaveecc, against the library as it was built and as it is installed.
add_executable(wave_ecc_example ${PROJECT_SOURCE_DIR}/docs/examples/wave_ecc_example.c)
target_include_directories(wave_ecc_example PRIVATE ${PROJECT_SOURCE_DIR}/ecc)
target_link_libraries(wave_ecc_example PRIVATE waveecc)
set_target_properties(wave_ecc_example PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
add_test(NAME ecc.wave_ecc_example COMMAND wave_ecc_example ${PROJECT_SOURCE_DIR}/docs/FORMAT.md)
if(NOT SANITIZE)
  add_test(NAME ecc.wave_ecc_installed COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/ecc/installed.sh ${PROJECT_SOURCE_DIR} ${CMAKE_BINARY_DIR}
                                               ${CMAKE_C_COMPILER})
endif()
