// What Swift cannot see of SQLite: variadic functions.
#ifndef DAYPASS_CSQLITE_SHIM_H
#define DAYPASS_CSQLITE_SHIM_H

struct sqlite3;
extern int sqlite3_db_config(struct sqlite3 *, int, ...);

// Sets one of the options of a connection that are on or off: https://sqlite.org/c3ref/c_dbconfig_defensive.html.
// Returns how it stands afterwards, 0 or 1, or -1 where SQLite does not know it.
static inline int daypass_sqlite_option(void *connection, int option, int on) {
    int now = -1;
    return sqlite3_db_config((struct sqlite3 *)connection, option, on, &now) == 0 ? now : -1;
}

#endif
