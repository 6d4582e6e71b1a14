/* Buffers that a field holds for a while. To take one and to give one back may run the user's code, which
 * may come back to the object with the field.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_BASE_VIEW_H
#define FLUVIAL_BASE_VIEW_H

#include "base/py.h"

/* Releases the buffer, if there is one; the field is empty before the user's code can run. The buffer was
 * taken without PyBUF_ND: else it could point into itself. */
static inline void
view_release(Py_buffer *view)
{
    Py_buffer held = *view;
    view->obj = NULL;
    PyBuffer_Release(&held);
}

#endif
