find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(OPENSSL REQUIRED IMPORTED_TARGET libcrypto>=3.0 libssl>=3.0)
pkg_check_modules(UV REQUIRED IMPORTED_TARGET libuv>=1.44)
pkg_check_modules(SECCOMP REQUIRED IMPORTED_TARGET libseccomp)
pkg_check_modules(TSS2 REQUIRED IMPORTED_TARGET tss2-esys>=3.2 tss2-mu tss2-tctildr)
pkg_check_modules(P11 REQUIRED p11-kit-1) # its header of PKCS#11 only
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl)
pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)

# libraft before 0.22 can lose acknowledged writes (commits entries of earlier terms by counting
# replicas, takes a commit index past the entries of the message): Debian 12's own 0.15 is refused.
pkg_check_modules(RAFT IMPORTED_TARGET raft)
if(NOT RAFT_FOUND OR RAFT_VERSION VERSION_LESS 0.22)
  message(FATAL_ERROR
    "libraft >= 0.22 is needed (found: '${RAFT_VERSION}'). Older ones can lose acknowledged writes. "
    "On Debian 12 install libraft-dev from bookworm-backports; scripts/install-packages.sh does it.")
endif()

find_path(LMDB_INCLUDE_DIR lmdb.h REQUIRED)
find_library(LMDB_LIBRARY lmdb REQUIRED)
add_library(lmdb INTERFACE)
target_include_directories(lmdb INTERFACE ${LMDB_INCLUDE_DIR})
target_link_libraries(lmdb INTERFACE ${LMDB_LIBRARY})
