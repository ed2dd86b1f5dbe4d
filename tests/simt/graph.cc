/* Capture and graphs. A graph is the list of what its streams were given, with the events between them; launching it
 * gives the first stream's part to the stream it is launched in, and the others' to streams of the graph's own. So a
 * branch that capture saw may overlap others, and nothing else may. */
#include "tests/simt/engine.h"
#include "tests/simt/runtime.h"

#include <map>
#include <set>

struct CUgraph_st {
    struct step {
        int slot;
        simt::work what;
    };
    std::vector<step> steps;
    std::vector<CUstream_st *> streams; /* while it is captured; the first is where capture began */
    std::vector<simt::vector_clock> clocks; /* of each: how many steps of each slot come before its next */
    std::map<const simt::marker *, simt::vector_clock> marks;
    int slots;
    cudaError_t broken;
};

struct CUgraphExec_st {
    std::vector<CUgraph_st::step> steps;
    std::vector<CUstream_st *> own; /* by slot; the first is not used */
    std::shared_ptr<simt::marker> last; /* the end of the launch before, which the next one waits for */
    int device;
};

namespace simt {

typedef std::lock_guard<std::recursive_mutex> locked;
static thread_local int captures; /* begun by this thread and not ended */

/* Graphs stay, empty, when they are destroyed: events that their capture recorded refer to them. */
static std::vector<CUgraph_st *> &graphs = *new std::vector<CUgraph_st *>();
static std::set<CUgraphExec_st *> &executables = *new std::set<CUgraphExec_st *>();

bool capturing_here() { return captures > 0; }

cudaError_t capture_broken(CUstream_st *s)
{
    s->recording->broken = cudaErrorStreamCaptureInvalidated;
    return failed(cudaErrorStreamCaptureUnsupported);
}

static void enter(CUstream_st *s, CUgraph_st *g)
{
    s->recording = g;
    s->slot = g->slots++;
    g->streams.push_back(s);
    g->clocks.emplace_back();
}

cudaError_t capture(CUstream_st *s, work &&w)
{
    CUgraph_st *g = s->recording ? s->recording : w.mark->recording;
    if (!s->recording && g->streams.empty())
        return cudaErrorCapturedEvent; /* of a capture that is over */
    if (w.kind == WORK_WAIT) {
        if (w.mark->recording != g || !g->marks.count(w.mark.get()))
            return cudaErrorStreamCaptureIsolation; /* an event from outside, or of another capture */
        if (!s->recording)
            enter(s, g);
        join(&g->clocks[(size_t)s->slot], g->marks[w.mark.get()]);
    } else {
        vector_clock &mine = g->clocks[(size_t)s->slot];
        if (mine.size() <= (size_t)s->slot)
            mine.resize((size_t)s->slot + 1);
        if (w.kind == WORK_RECORD) {
            w.mark->recording = g;
            g->marks[w.mark.get()] = mine;
        } else {
            mine[(size_t)s->slot]++;
        }
    }
    g->steps.push_back({s->slot, std::move(w)});
    return cudaSuccess;
}

/* Work of a branch that never came back to the stream where capture began. */
static bool unjoined(const CUgraph_st *g)
{
    const vector_clock &origin = g->clocks[0];
    for (size_t i = 1; i < g->clocks.size(); i++) {
        uint32_t did = i < g->clocks[i].size() ? g->clocks[i][i] : 0;
        if (did > (i < origin.size() ? origin[i] : 0))
            return true;
    }
    return false;
}

/* A copy of a step, for a launch: markers of its own. */
static work copy_of(const work &w, std::map<const marker *, std::shared_ptr<marker>> *marks)
{
    work c = w;
    if (c.kind == WORK_RECORD || c.kind == WORK_WAIT) {
        std::shared_ptr<marker> &m = (*marks)[w.mark.get()];
        if (!m)
            m = std::make_shared<marker>();
        c.mark = m;
    }
    return c;
}

static bool same_shape(const std::vector<CUgraph_st::step> &a, const std::vector<CUgraph_st::step> &b,
                       cudaGraphExecUpdateResult *why)
{
    *why = cudaGraphExecUpdateErrorTopologyChanged;
    if (a.size() != b.size())
        return false;
    for (size_t i = 0; i < a.size(); i++) {
        if (a[i].slot != b[i].slot)
            return false;
        *why = cudaGraphExecUpdateErrorNodeTypeChanged;
        if (a[i].what.kind != b[i].what.kind)
            return false;
        *why = cudaGraphExecUpdateErrorFunctionChanged;
        if (a[i].what.launch.function != b[i].what.launch.function)
            return false;
        *why = cudaGraphExecUpdateErrorTopologyChanged;
    }
    *why = cudaGraphExecUpdateSuccess;
    return true;
}

} // namespace simt

using namespace simt;

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode)
{
    locked guard(engine);
    CUstream_st *s = stream ? stream_of(stream) : nullptr; /* the legacy stream cannot be captured */
    if (!s)
        return failed(stream ? cudaErrorInvalidResourceHandle : cudaErrorStreamCaptureUnsupported);
    if (device_error(s->device) != cudaSuccess)
        return failed(device_error(s->device));
    if (s->recording)
        return failed(cudaErrorIllegalState);
    captures++;
    graphs.push_back(new CUgraph_st());
    enter(s, graphs.back());
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out)
{
    locked guard(engine);
    CUstream_st *s = stream ? stream_of(stream) : nullptr;
    *out = nullptr;
    if (!s || !s->recording)
        return failed(s ? cudaErrorIllegalState : cudaErrorInvalidResourceHandle);
    CUgraph_st *g = s->recording;
    if (g->streams[0] != s)
        return failed(cudaErrorStreamCaptureUnmatched);
    captures--;
    cudaError_t rc = g->broken;
    if (rc == cudaSuccess && unjoined(g))
        rc = cudaErrorStreamCaptureUnjoined;
    for (CUstream_st *member : g->streams)
        member->recording = nullptr;
    g->streams.clear();
    if (rc != cudaSuccess) {
        g->steps.clear();
        return failed(rc);
    }
    *out = g;
    return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *out)
{
    locked guard(engine);
    CUstream_st *s = stream_of(stream);
    if (!s)
        return failed(cudaErrorInvalidResourceHandle);
    *out = !s->recording                             ? cudaStreamCaptureStatusNone
           : s->recording->broken == cudaSuccess ? cudaStreamCaptureStatusActive
                                                     : cudaStreamCaptureStatusInvalidated;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t g, unsigned long long)
{
    locked guard(engine);
    if (!g || capturing_here())
        return failed(g ? cudaErrorStreamCaptureUnsupported : cudaErrorInvalidValue);
    CUgraphExec_st *x = new CUgraphExec_st{g->steps, {nullptr}, nullptr, current_gpu()};
    for (int i = 1; i < g->slots; i++)
        x->own.push_back(new_stream(x->device, false));
    executables.insert(x);
    *out = x;
    return cudaSuccess;
}

cudaError_t cudaGraphExecUpdate(cudaGraphExec_t x, cudaGraph_t g, cudaGraphExecUpdateResultInfo *info)
{
    locked guard(engine);
    if (!x || !g || !info)
        return failed(cudaErrorInvalidValue);
    info->errorNode = info->errorFromNode = nullptr;
    if (!same_shape(x->steps, g->steps, &info->result))
        return failed(cudaErrorGraphExecUpdateFailure);
    x->steps = g->steps;
    return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) { return cudaSuccess; }

cudaError_t cudaGraphLaunch(cudaGraphExec_t x, cudaStream_t stream)
{
    locked guard(engine);
    CUstream_st *s = stream_of(stream);
    if (!s || !executables.count(x) || s->device != x->device)
        return failed(cudaErrorInvalidResourceHandle);
    if (device_error(s->device) != cudaSuccess)
        return failed(device_error(s->device));
    if (s->recording)
        return failed(cudaErrorStreamCaptureUnsupported); /* no graphs within graphs here */
    std::map<const marker *, std::shared_ptr<marker>> marks;
    if (x->last) {
        work wait = {};
        wait.kind = WORK_WAIT;
        wait.mark = x->last;
        enqueue(s, std::move(wait));
    }
    for (const CUgraph_st::step &step : x->steps)
        enqueue(step.slot ? x->own[(size_t)step.slot] : s, copy_of(step.what, &marks));
    work end = {};
    end.kind = WORK_RECORD;
    end.mark = x->last = std::make_shared<marker>();
    return enqueue(s, std::move(end));
}

/* Nodes: the operations; events are edges. */
cudaError_t cudaGraphGetNodes(cudaGraph_t g, cudaGraphNode_t *nodes, size_t *count)
{
    locked guard(engine);
    if (!g || !count)
        return failed(cudaErrorInvalidValue);
    size_t n = 0;
    for (CUgraph_st::step &step : g->steps) {
        if (step.what.kind == WORK_RECORD || step.what.kind == WORK_WAIT)
            continue;
        if (nodes && n < *count)
            nodes[n] = (cudaGraphNode_t)&step;
        n++;
    }
    *count = n;
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t g)
{
    locked guard(engine);
    if (!g)
        return failed(cudaErrorInvalidValue);
    g->steps.clear();
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t x)
{
    locked guard(engine);
    if (!executables.erase(x))
        return failed(cudaErrorInvalidValue);
    if (x->last)
        finish_marker(x->last);
    for (size_t i = 1; i < x->own.size(); i++)
        delete_stream(x->own[i]);
    delete x;
    return cudaSuccess;
}
