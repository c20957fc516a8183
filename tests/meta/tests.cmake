foreach(name rows dirs txn damage fault)
  holo_test(meta ${name} meta base)
endforeach()
