/* Sends a large file as the body of a response, in turns, on the loop, whenever the socket takes more. The
 * kernel copies it to the connection's socket, unless it has to be encrypted, framed or compressed.
 *
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_FILES_FILE_TURNS_H
#define FLUVIAL_FILES_FILE_TURNS_H

#include "base/py.h"
#include "files/byte_ranges.h"
#include "files/served_file.h"
#include "http/request.h"

/* Creates FilesState.turns_type: 0, or -1 with an exception set. */
int file_turns_setup(PyObject *module, FilesState *st);

/* Sends the range of the file (borrowed) as the body of the streamed response, whose head has been written,
 * and completes it; or, unless it is NULL, `body`, which it takes over. What sends it is the request's `mounted`
 * meanwhile. 0, or -1 with MemoryError set: nothing was sent. */
int file_turns_start(const FilesState *st, HttpRequest *req, ServedFile *file,
                     ByteRange range, Multipart *body);

/* MountOps.writable and MountOps.gone of such a request. */
void file_turns_writable(HttpRequest *req);
void file_turns_gone(HttpRequest *req);

#endif
