// From prepared pictures to a batch, and from YuNet's heads to faces, one block of threads for each picture.
//
// No header is included: NVRTC needs none, and the tests compile this text with g++. Each kernel takes one structure by
// value, whose layout is repeated in faces.py.

typedef unsigned char u8;

const int MAX_BATCH = 32;
const int MAX_THREADS = 256;
const int MAX_FACES = 128;  // of one picture; of more the best are given
const int FACE_NUMBERS = 15;  // box, score, landmarks
const int SCORE = 4;          // its place among them
const int THUMBNAIL_BYTES = 32 * 18;
// What goes back to the host for one picture, in numbers of 4 bytes: how many faces, the faces, the thumbnail.
const int ANSWER_NUMBERS = 1 + MAX_FACES * FACE_NUMBERS + THUMBNAIL_BYTES / 4;

struct Gathering {
    float* batch;    // (n, 3, height, width)
    float* answers;  // (n, ANSWER_NUMBERS)
    int height, width, count;
    struct Picture {
        const u8* pixels;  // (3, height, width)
        const u8* thumbnail;  // or 0
        int height, width;
    } pictures[MAX_BATCH];
};

struct Heads {
    const float* scores[2][3];  // class and objectness for strides 8, 16, 32: (n, cells)
    const float* boxes[3];      // (n, cells, 4)
    const float* points[3];     // (n, cells, 10)
    float* found;               // workspace (n, all cells): scores of the candidates
    int* cells;                 // workspace (n, all cells): where they are, c; ~c once a face is found for them
    float* answers;             // (n, ANSWER_NUMBERS)
    int height, width;          // of the network's input
    float min_score, max_iou, blend_iou;
    int blend_rounds;
};

struct Face {
    float numbers[FACE_NUMBERS];
};

__device__ inline float share(float value) { return value < 0.0f ? 0.0f : (value > 1.0f ? 1.0f : value); }

// Which head a cell of all cells belongs to; `cell` becomes its place in that head.
__device__ inline int head_of(const Heads& all, int* cell) {
    int head = 0, size = (all.height / 8) * (all.width / 8);
    while (head < 2 && *cell >= size) {
        *cell -= size;
        head++;
        size = (all.height / (8 << head)) * (all.width / (8 << head));
    }
    return head;
}

__device__ inline int cells_of(const Heads& all, int head) { return (all.height / (8 << head)) * (all.width / (8 << head)); }

__device__ inline void decode(const Heads& all, int picture, int cell, Face* face) {
    int head = head_of(all, &cell), stride = 8 << head, columns = all.width / stride;
    long long place = (long long)picture * cells_of(all, head) + cell;
    const float *box = all.boxes[head] + 4 * place, *points = all.points[head] + 10 * place;
    float column = (float)(cell % columns), row = (float)(cell / columns);
    float x = (column + box[0]) * stride, y = (row + box[1]) * stride;
    float half_width = expf(box[2]) * stride / 2, half_height = expf(box[3]) * stride / 2;
    face->numbers[0] = x - half_width;
    face->numbers[1] = y - half_height;
    face->numbers[2] = x + half_width;
    face->numbers[3] = y + half_height;
    for (int k = 0; k < 5; k++) {
        face->numbers[5 + 2 * k] = (points[2 * k] + column) * stride;
        face->numbers[6 + 2 * k] = (points[2 * k + 1] + row) * stride;
    }
}

// As OpenCV's rectOverlap computes it for NMSBoxes: in double precision from left, top, width and height.
__device__ inline float overlap(const Face& one, const Face& other) {
    const float *a = one.numbers, *b = other.numbers;
    double aw = (double)(a[2] - a[0]), ah = (double)(a[3] - a[1]), bw = (double)(b[2] - b[0]), bh = (double)(b[3] - b[1]);
    double area = aw * ah, other_area = bw * bh;
    if (area + other_area <= 2.220446049250313e-16) return 1.0f;
    double left = a[0] > b[0] ? a[0] : b[0], top = a[1] > b[1] ? a[1] : b[1];
    double right = a[0] + aw < b[0] + bw ? a[0] + aw : b[0] + bw, bottom = a[1] + ah < b[1] + bh ? a[1] + ah : b[1] + bh;
    double shared = right > left && bottom > top ? (right - left) * (bottom - top) : 0.0;
    return 1.0f - (float)(1.0 - shared / (area + other_area - shared));
}

// A thread's share of yunet.py's mean of the candidates around a face; the sum of the weights is at the score's place.
__device__ inline void add_candidates(const Heads& all, int picture, int count, const float* found, const int* cells,
                                      const Face& face, double* sums) {
    for (int k = 0; k < FACE_NUMBERS; k++) sums[k] = 0.0;
    for (int i = threadIdx.x; i < count; i += blockDim.x) {
        Face other;
        decode(all, picture, cells[i] < 0 ? ~cells[i] : cells[i], &other);
        other.numbers[SCORE] = 1.0f;
        double weight = (double)(found[i] - all.min_score) * (overlap(other, face) - all.blend_iou);
        if (weight > 0)
            for (int k = 0; k < FACE_NUMBERS; k++) sums[k] += weight * other.numbers[k];
    }
}

extern "C" {

// Blocks (any number, 3 n): the prepared pictures become float, with zeros at the right and at the bottom.
__global__ void gather(const Gathering all) {
    int number = blockIdx.y / 3, channel = blockIdx.y % 3;
    Gathering::Picture from = all.pictures[number];
    int size = all.height * all.width, step = gridDim.x * blockDim.x, first = blockIdx.x * blockDim.x + threadIdx.x;
    float* target = all.batch + (3LL * number + channel) * size;
    const u8* source = from.pixels + (long long)channel * from.height * from.width;
    for (int i = first; i < size; i += step) {
        int row = i / all.width, column = i - row * all.width;
        target[i] = row < from.height && column < from.width ? (float)source[row * from.width + column] : 0.0f;
    }
    if (channel || !from.thumbnail) return;
    u8* answer = (u8*)(all.answers + (long long)number * ANSWER_NUMBERS + ANSWER_NUMBERS - THUMBNAIL_BYTES / 4);
    for (int i = first; i < THUMBNAIL_BYTES; i += step) answer[i] = from.thumbnail[i];
}

// Block n: the faces of picture n, best score first, without those that overlap a better one, each blended with the
// candidates around it.
__global__ void find_faces(const Heads all) {
    __shared__ int num_candidates;
    __shared__ float best_scores[MAX_THREADS];
    __shared__ int best_candidates[MAX_THREADS];
    // in double precision, since the order of the candidates differs from run to run and would show in sums of floats
    __shared__ double sums[MAX_THREADS][FACE_NUMBERS];
    int picture = blockIdx.x, me = threadIdx.x, threads = blockDim.x;
    int num_cells = cells_of(all, 0) + cells_of(all, 1) + cells_of(all, 2);
    float* found = all.found + (long long)picture * num_cells;
    int* cells = all.cells + (long long)picture * num_cells;
    float* answer = all.answers + (long long)picture * ANSWER_NUMBERS;
    if (me == 0) num_candidates = 0;
    __syncthreads();
    for (int i = me; i < num_cells; i += threads) {
        int cell = i, head = head_of(all, &cell);
        long long place = (long long)picture * cells_of(all, head) + cell;
        float score = sqrtf(share(all.scores[0][head][place]) * share(all.scores[1][head][place]));
        if (score >= all.min_score) {
            int slot = atomicAdd(&num_candidates, 1);
            found[slot] = score;
            cells[slot] = i;
        }
    }
    __syncthreads();
    int count = num_candidates, num_faces = 0;
    while (num_faces < MAX_FACES) {
        int best = -1;
        for (int i = me; i < count; i += threads)
            if (cells[i] >= 0 && (best < 0 || found[i] > found[best] || (found[i] == found[best] && cells[i] < cells[best])))
                best = i;
        best_scores[me] = best < 0 ? -1.0f : found[best];
        best_candidates[me] = best;
        __syncthreads();
        // every thread finds the same winner, so that nobody need wait for its name
        best = -1;
        float score = -1.0f;
        for (int i = 0; i < threads; i++) {
            int rival = best_candidates[i];
            if (rival < 0) continue;
            if (best < 0 || best_scores[i] > score || (best_scores[i] == score && cells[rival] < cells[best])) {
                best = rival;
                score = best_scores[i];
            }
        }
        if (best < 0) break;
        Face face;
        decode(all, picture, cells[best], &face);
        __syncthreads();  // before candidates fall out and the table is written anew
        for (int i = me; i < count; i += threads) {
            if (cells[i] < 0) continue;
            Face rival;
            decode(all, picture, cells[i], &rival);
            if (i == best || overlap(rival, face) > all.max_iou) cells[i] = ~cells[i];
        }
        for (int round = 0; round < all.blend_rounds; round++) {
            add_candidates(all, picture, count, found, cells, face, sums[me]);
            __syncthreads();
            for (int k = me; k < FACE_NUMBERS; k += threads)
                for (int i = 1; i < threads && i < count; i++) sums[0][k] += sums[i][k];
            __syncthreads();
            if (sums[0][SCORE] > 0)
                for (int k = 0; k < FACE_NUMBERS; k++) face.numbers[k] = (float)(sums[0][k] / sums[0][SCORE]);
            __syncthreads();  // before the sums are written anew
        }
        face.numbers[SCORE] = score;
        if (me == 0)
            for (int k = 0; k < FACE_NUMBERS; k++) answer[1 + num_faces * FACE_NUMBERS + k] = face.numbers[k];
        num_faces++;
    }
    if (me == 0) answer[0] = (float)num_faces;
}
}
