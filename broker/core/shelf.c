/* SPDX-License-Identifier: MIT */
#include "shelf.h"

void *shelf_malloc(size_t size) {
        return malloc(size <= SHELF_STEP * SHELF_SIZES ? shelf_size(size) : size);
}

void shelf_clear(struct shelf *shelf) {
        for (size_t i = 0; i < SHELF_SIZES; i++)
                while (shelf->pieces[i]) {
                        struct shelf_piece *next = shelf->pieces[i]->next;

                        free(shelf->pieces[i]);
                        shelf->pieces[i] = next;
                }
        shelf->bytes = 0;
}
