/* How long a partition may answer from its own state after the leader proved, to a request made at
 * time t, that this state is current: until t + LEASE_MS, by the clock of the partition. Whoever
 * waits for leases of others to end adds LEASE_DRIFT_MS for clocks that do not run alike. No longer
 * than the election timeout: a partition that elects another leader has not heard of the old one
 * for that long. */
#ifndef WIRE_LEASE_H
#define WIRE_LEASE_H

#define LEASE_MS       300
#define LEASE_DRIFT_MS 30
#define LEASE_RENEW_MS 100 /* a lease of this age is renewed, while requests come */

#endif
