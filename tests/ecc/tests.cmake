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
)
  holo_test(ecc ${name} ecc base)
endforeach()
target_link_libraries(test_ecc_decode PRIVATE m)
target_link_libraries(test_ecc_success PRIVATE m)
