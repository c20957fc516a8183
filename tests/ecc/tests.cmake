foreach(name field code engines layout containers rebuild)
  holo_test(ecc ${name} ecc base)
endforeach()
holo_test(ecc cuda cuda ecc base)
