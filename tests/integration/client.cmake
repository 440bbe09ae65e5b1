# SPDX-License-Identifier: MIT
#
# libramal, as programs link it, against a real ramald.
set(names pubsub block rpc names endings)
if(RAMAL_TCP)
  list(APPEND names tcp)
endif()
foreach(name IN LISTS names)
  ramal_unit_test(integration_client_${name} SOURCES test_client_${name}.c LIBS ramal ramal_test_support TIMEOUT 120
    LABELS threads)
  set_property(TEST integration_client_${name} APPEND PROPERTY ENVIRONMENT "RAMALD_BIN=$<TARGET_FILE:ramald>")
endforeach()
