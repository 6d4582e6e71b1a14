/* Release of a Py_buffer that an object holds in a field. Getting and releasing a buffer may run user
 * code, which may use the object again.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_BASE_VIEW_H
#define FLUVIAL_BASE_VIEW_H

#include "base/py.h"

/* Releases the buffer, if there is one. The field is emptied before user code can run. The buffer
 * must have been requested without PyBUF_ND: otherwise its shape could point into the struct itself,
 * which is copied here. */
static inline void
view_release(Py_buffer *view)
{
    Py_buffer held = *view;
    view->obj = NULL;
    PyBuffer_Release(&held);
}

#endif
