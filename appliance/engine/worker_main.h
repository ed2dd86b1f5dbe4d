/* The worker process's side of worker_process.h: a program whose engine may use a worker begins its main with
 *
 *     if (worker_wanted(argc, argv))
 *         return worker_main(); */
#ifndef OPENLORA_ENGINE_WORKER_MAIN_H
#define OPENLORA_ENGINE_WORKER_MAIN_H

#include <stdbool.h>

bool worker_wanted(int argc, char **argv); /* started as `PROGRAM --compute-worker` */
int worker_main(void);                     /* the exit status */

#endif
