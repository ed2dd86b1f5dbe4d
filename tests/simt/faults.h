/* Faults on demand, for tests. */
#ifndef SIMT_FAULTS_H
#define SIMT_FAULTS_H

#ifdef __cplusplus
extern "C" {
#endif

/* Forgets all faults, past and planned, restarts the counts, and plans those named: as OPENLORA_SIMT_FAULT (faults.cc). */
__attribute__((visibility("default"))) void simt_fault(const char *text);

#ifdef __cplusplus
}
#endif
#endif
