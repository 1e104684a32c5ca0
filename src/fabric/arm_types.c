/* The types of resources that this control plane has. */
#include "fabric/arm_internal.h"
#include "fabric/consumer.h"
#include "fabric/hsm.h"
#include "fabric/network.h"

const struct arm_type *const arm_types[] = {
    &hsm_type,
    &hsm_connection_type,
    &user_identity_type,
    &disk_encryption_set_type,
    &disk_type,
    &sql_instance_type,
    &sql_instance_key_type,
    &sql_instance_protector_type,
    &sql_server_type,
    &sql_server_key_type,
    &sql_server_protector_type,
    &sql_database_type,
    &sql_database_protector_type,
    &storage_account_type,
    &storage_scope_type,
    &diagnostic_setting_type,
    &network_vnet_type,
    &network_subnet_type,
    &network_zone_type,
    &network_link_type,
    &network_record_type,
    &network_endpoint_type,
    &network_zone_group_type,
};
const size_t arm_types_n = sizeof arm_types / sizeof *arm_types;
