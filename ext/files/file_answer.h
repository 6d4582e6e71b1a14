/* The response with a file that is known: whole, in ranges, or why it isn't sent.
 *
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_FILES_FILE_ANSWER_H
#define FLUVIAL_FILES_FILE_ANSWER_H

#include "base/py.h"
#include "files/served_file.h"
#include "http/request.h"

/* Responds with the file (borrowed) to a GET or HEAD. False, and nothing was done, when Python code must decide
 * what the request's conditions say. */
bool file_answer(const FilesState *st, HttpRequest *req, ServedFile *file);

/* Responds with the file (borrowed) and 404, in the place of one that is missing. Neither conditions nor ranges
 * count. */
void file_answer_missing(const FilesState *st, HttpRequest *req, ServedFile *file);

/* Redirects the client to the same path with "/" at its end. False, and nothing was done, when Python code must
 * say which path that is. */
bool file_answer_redirect(HttpRequest *req);

#endif
