/* The process around the control origin: one loop, TLS, front door or listener, orderly end. */
#ifndef FABRIC_SERVER_H
#define FABRIC_SERVER_H

#include "fabric/fabric.h"

struct server_options {
    struct fabric_config fabric;
    const char *cert, *key;
    const char *door;     /* socket of the front door, NULL: none */
    char listen_addr[64]; /* "" when not listening by itself */
    uint16_t listen_port;
    int ready_fd; /* the port in use (0 with a door only) is written here as a line; -1: nowhere */
};

/* "ADDR:PORT", "[v6]:PORT" or "" parts of the command line; false when something is missing or
 * wrong, text[cap] says what. */
bool server_options_parse(int argc, char **argv, struct server_options *ret, char *text,
                          size_t cap);
extern const char server_usage[];

/* Runs until SIGTERM or SIGINT. Exit status for the program. */
int server_run(const struct server_options *o);

#endif
