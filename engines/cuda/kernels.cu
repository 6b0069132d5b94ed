// The CUDA kernels of dft: composition, the network's input, and face chips, straight from NV12 and P016.
//
// No header is included: NVRTC needs none, and the tests compile this text with g++ and loop over the grid. Each kernel
// takes one structure by value, whose layout is repeated in kernels.py.
//
// Places are those of OpenCV: the centre of pixel i lies at i + 1/2. Where a length of `made` pixels is made of `taken`,
// pixel i lies at ((2 i + 1) taken - made) / (2 made), which is kept as a fraction of whole numbers.

typedef unsigned char u8;
typedef unsigned short u16;

// One axis of a crop: `first` is the first source pixel of the patch of `taken` pixels that is resized to `made`, of
// which `skipped` lie before the tile. Where `filtered`, the patch is filtered with `weights` at -1, 0, 1, 2 before.
struct Axis {
    int first, taken, made, skipped, filtered;
    float weights[4];
};

enum PartKind { FILL, SHARP, SOFT };

// What lies in one rectangle of a plane. SHARP samples whole numbers of type T, SOFT a float picture linearly.
struct Part {
    const void* source;
    long long pitch;  // values from row to row
    int kind, x, y, width, height;
    int rotation;       // clockwise degrees from the source to the canvas
    int columns, rows;  // of the source
    int shift;          // bits below the value in the source
    int values[2];      // of a FILL
    Axis across, down;  // in the source's orientation
};

const int MAX_PARTS = 24;

struct Composition {
    void* target;
    long long pitch;
    int columns, rows;
    int lift, top;      // bits below the value in the target, and the greatest value
    int keep;           // whether what no part covers stays as it is
    int background[2];
    int count;
    Part parts[MAX_PARTS];
};

struct Halving {
    const void* source;
    void* target;
    long long pitch;
    int columns, rows, shift;  // of the source
    int x, y;                  // where the first pair lies in the source
    int width, height;         // of the target, whose rows are not padded
};

struct Blurring {
    const void* source;  // T, rows not padded
    float* target;
    int columns, rows, radius_x, radius_y;
    float sigma_x, sigma_y;
};

struct Enlarging {
    const float* source;
    float* target;
    Axis across, down;
    int columns, rows, width, height;
};

// The planes of a picture, and how they become three channels of 0..255.
struct Source {
    const void* y;
    const void* uv;
    long long y_pitch, uv_pitch;
    int columns, rows;
    float scale;  // from a stored value to 0..255
    float matrix[12];
};

enum StoreKind { STORE_U8, STORE_HALF, STORE_FLOAT };

struct Preparation {
    Source source;
    void* target;  // three planes of padded_height x padded_width
    u8* luma;      // what is left of the luma, as coded
    int kind, rotation;
    int width, height;  // of the picture, as displayed; the rest is padding
    int padded_width, padded_height;
    int luma_halvings, chroma_halvings;
    float mean[3], gain[3];
};

struct Thumbnail {
    const u8* luma;
    u8* target;
    int columns, rows;
};

const int MOST_HALVINGS = 4;  // 8192 pixels become 512
const int THUMBNAIL_WIDTH = 32, THUMBNAIL_HEIGHT = 18, THUMBNAIL_DENSITY = 4;

// Where the pixels of a chip lie in a plane: in the patch at (first_x, first_y) after `halvings`, of columns x rows.
struct Warp {
    int first_x, first_y, columns, rows, halvings, density;
    float matrix[6];
};

// Semi-planar values as three planes one after the other, shifted down to the value.
struct Planar {
    const void* y;
    const void* uv;
    void* target;
    long long y_pitch, uv_pitch;
    int columns, rows, shift;
};

const int MAX_FACES = 32;

struct Chips {
    Source source;
    void* target;  // (count, 3, size, size)
    int kind, size, count;
    struct Face {
        Warp luma, chroma;
    } faces[MAX_FACES];
};

__device__ inline int clamped(int value, int low, int high) { return value < low ? low : (value > high ? high : value); }

__device__ inline int floor_divide(int numerator, int denominator) {
    int quotient = numerator / denominator;
    return quotient * denominator > numerator ? quotient - 1 : quotient;
}

__device__ inline float rounded(float value, int top) {
    float whole = floorf(value + 0.5f);
    return whole < 0.0f ? 0.0f : (whole > top ? (float)top : whole);
}

// The pixel before the place of pixel `place`, and how far beyond its centre the place lies.
__device__ inline int placed(int taken, int made, int place, float* beyond) {
    int numerator = (2 * place + 1) * taken - made, denominator = 2 * made;
    int base = floor_divide(numerator, denominator);
    *beyond = (float)(numerator - base * denominator) / (float)denominator;
    return base;
}

// Weights of TAPS source pixels for a pixel of the tile, and the first of them. Four are OpenCV's cubic (Keys' with
// a = -0.75); seven are that cubic after the filter. The patch's edge is repeated.
template <int TAPS>
__device__ inline int weighted(const Axis& axis, int place, float* weights) {
    const float a = -0.75f;
    float t, cubic[4], folded[4];
    int base = placed(axis.taken, axis.made, place + axis.skipped, &t);
    cubic[0] = ((a * (t + 1) - 5 * a) * (t + 1) + 8 * a) * (t + 1) - 4 * a;
    cubic[1] = ((a + 2) * t - (a + 3)) * t * t + 1;
    cubic[2] = ((a + 2) * (1 - t) - (a + 3)) * (1 - t) * (1 - t) + 1;
    cubic[3] = 1 - cubic[0] - cubic[1] - cubic[2];
#pragma unroll
    for (int m = 0; m < 4; m++) {
        folded[m] = 0;
#pragma unroll
        for (int n = 0; n < 4; n++) folded[m] += clamped(base - 1 + n, 0, axis.taken - 1) == base - 1 + m ? cubic[n] : 0;
    }
    if constexpr (TAPS == 4) {
#pragma unroll
        for (int m = 0; m < 4; m++) weights[m] = folded[m];
        return axis.first + base - 1;
    } else {
#pragma unroll
        for (int m = 0; m < TAPS; m++) {
            weights[m] = 0;
#pragma unroll
            for (int n = 0; n < 4; n++)
                if (m - n >= 0 && m - n < 4) weights[m] += folded[n] * axis.weights[(m - n) & 3];
        }
        return axis.first + base - 2;
    }
}

// Beyond the source its edge is repeated.
template <typename T, int CHANNELS, int TAPS>
__device__ inline void sampled(const Part& part, int column, int row, float* values) {
    const T* source = (const T*)part.source;
    float across[TAPS], down[TAPS];
    int left = weighted<TAPS>(part.across, column, across), first = weighted<TAPS>(part.down, row, down);
#pragma unroll
    for (int c = 0; c < CHANNELS; c++) values[c] = 0;
#pragma unroll
    for (int j = 0; j < TAPS; j++) {
        const T* line = source + clamped(first + j, 0, part.rows - 1) * part.pitch;
#pragma unroll
        for (int i = 0; i < TAPS; i++) {
            const T* pixel = line + clamped(left + i, 0, part.columns - 1) * CHANNELS;
#pragma unroll
            for (int c = 0; c < CHANNELS; c++) values[c] += down[j] * across[i] * (float)(pixel[c] >> part.shift);
        }
    }
}

template <int CHANNELS>
__device__ inline void softly_sampled(const Part& part, int column, int row, float* values) {
    const float* source = (const float*)part.source;
    float x, y;
    int left = placed(part.across.taken, part.across.made, column, &x);
    int first = placed(part.down.taken, part.down.made, row, &y);
    const float* above = source + clamped(first, 0, part.rows - 1) * part.pitch;
    const float* below = source + clamped(first + 1, 0, part.rows - 1) * part.pitch;
    int here = clamped(left, 0, part.columns - 1) * CHANNELS, next = clamped(left + 1, 0, part.columns - 1) * CHANNELS;
#pragma unroll
    for (int c = 0; c < CHANNELS; c++) {
        float upper = above[here + c] + x * (above[next + c] - above[here + c]);
        float lower = below[here + c] + x * (below[next + c] - below[here + c]);
        values[c] = upper + y * (lower - upper);
    }
}

// From a place in an upright rectangle to the place in the source that is turned clockwise by `rotation` to fill it.
__device__ inline void turned_back(int rotation, int width, int height, int* column, int* row) {
    int x = *column, y = *row;
    if (rotation == 90) {
        *column = y;
        *row = width - 1 - x;
    } else if (rotation == 180) {
        *column = width - 1 - x;
        *row = height - 1 - y;
    } else if (rotation == 270) {
        *column = height - 1 - y;
        *row = x;
    }
}

template <typename T, int CHANNELS>
__device__ inline void composed(const Composition& all) {
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= all.columns || y >= all.rows) return;
    int number = all.count - 1;
    while (number >= 0) {
        const Part& part = all.parts[number];
        if (x >= part.x && x < part.x + part.width && y >= part.y && y < part.y + part.height) break;
        number--;
    }
    if (number < 0 && all.keep) return;
    float values[CHANNELS];
    if (number < 0) {
        for (int c = 0; c < CHANNELS; c++) values[c] = (float)all.background[c];
    } else {
        const Part& part = all.parts[number];
        int column = x - part.x, row = y - part.y;
        turned_back(part.rotation, part.width, part.height, &column, &row);
        if (part.kind == FILL) {
            for (int c = 0; c < CHANNELS; c++) values[c] = (float)part.values[c];
        } else if (part.kind == SOFT) {
            softly_sampled<CHANNELS>(part, column, row, values);
        } else if (part.across.filtered || part.down.filtered) {
            sampled<T, CHANNELS, 7>(part, column, row, values);
        } else {
            sampled<T, CHANNELS, 4>(part, column, row, values);
        }
    }
    T* pixel = (T*)all.target + y * all.pitch + (long long)x * CHANNELS;
    for (int c = 0; c < CHANNELS; c++) pixel[c] = (T)((int)rounded(values[c], all.top) << all.lift);
}

template <typename T, int CHANNELS>
__device__ inline void halved(const Halving& all) {
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= all.width || y >= all.height) return;
    for (int c = 0; c < CHANNELS; c++) {
        int sum = 2;
        for (int corner = 0; corner < 4; corner++) {
            int column = clamped(all.x + 2 * x + (corner & 1), 0, all.columns - 1);
            int row = clamped(all.y + 2 * y + (corner >> 1), 0, all.rows - 1);
            sum += ((const T*)all.source)[row * all.pitch + (long long)column * CHANNELS + c] >> all.shift;
        }
        ((T*)all.target)[((long long)y * all.width + x) * CHANNELS + c] = (T)(sum >> 2);
    }
}

// Beyond the picture it is mirrored, its edge pixel included.
__device__ inline int mirrored(int place, int length) {
    int period = 2 * length, inside = place % period;
    inside = inside < 0 ? inside + period : inside;
    return inside < length ? inside : period - 1 - inside;
}

template <typename T, int CHANNELS>
__device__ inline void blurred(const Blurring& all) {
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= all.columns || y >= all.rows) return;
    float values[CHANNELS], total = 0;
    for (int c = 0; c < CHANNELS; c++) values[c] = 0;
    for (int j = -all.radius_y; j <= all.radius_y; j++) {
        const T* line = (const T*)all.source + (long long)mirrored(y + j, all.rows) * all.columns * CHANNELS;
        float down = expf(-0.5f * j * j / (all.sigma_y * all.sigma_y));
        for (int i = -all.radius_x; i <= all.radius_x; i++) {
            float weight = down * expf(-0.5f * i * i / (all.sigma_x * all.sigma_x));
            total += weight;
            for (int c = 0; c < CHANNELS; c++) values[c] += weight * (float)line[mirrored(x + i, all.columns) * CHANNELS + c];
        }
    }
    for (int c = 0; c < CHANNELS; c++) all.target[((long long)y * all.columns + x) * CHANNELS + c] = values[c] / total;
}

template <int CHANNELS>
__device__ inline void enlarged(const Enlarging& all) {
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= all.width || y >= all.height) return;
    float across[4], down[4], values[CHANNELS];
    int left = weighted<4>(all.across, x, across), first = weighted<4>(all.down, y, down);
    for (int c = 0; c < CHANNELS; c++) values[c] = 0;
    for (int j = 0; j < 4; j++) {
        const float* line = all.source + (long long)clamped(first + j, 0, all.rows - 1) * all.columns * CHANNELS;
        for (int i = 0; i < 4; i++)
            for (int c = 0; c < CHANNELS; c++)
                values[c] += down[j] * across[i] * line[clamped(left + i, 0, all.columns - 1) * CHANNELS + c];
    }
    for (int c = 0; c < CHANNELS; c++) all.target[((long long)y * all.width + x) * CHANNELS + c] = values[c];
}

// The mean of the square of pixels that became one after `halvings`.
template <typename T, int CHANNELS>
__device__ inline float averaged(const T* plane, long long pitch, int column, int row, int halvings) {
    int side = 1 << halvings, sum = 0;
    const T* first = plane + (long long)(row << halvings) * pitch + (long long)(column << halvings) * CHANNELS;
    for (int j = 0; j < side; j++)
        for (int i = 0; i < side; i++) sum += first[j * pitch + i * CHANNELS];
    return (float)sum / (float)(side * side);
}

// One value of a plane that was halved HALVINGS times, each time rounded to whole levels.
template <typename T, int CHANNELS, int HALVINGS>
__device__ inline int in_halves(const T* plane, long long pitch, int column, int row) {
    if constexpr (HALVINGS == 0) {
        return plane[(long long)row * pitch + (long long)column * CHANNELS];
    } else {
        int sum = 2;
        for (int corner = 0; corner < 4; corner++)
            sum += in_halves<T, CHANNELS, HALVINGS - 1>(plane, pitch, 2 * column + (corner & 1), 2 * row + (corner >> 1));
        return sum >> 2;
    }
}

// Weights of 11 bits, rounded, and what they weigh: OpenCV's integers for INTER_LINEAR of 8 bits (imgproc/src/resize.cpp).
__device__ inline int weight_of(float beyond) { return (int)floorf(beyond * 2048.0f + 0.5f); }

__device__ inline int between(int here, int next, float beyond) {
    return here * weight_of(1.0f - beyond) + next * weight_of(beyond);
}

// One value of a plane that is halved, and then scaled linearly to width x height: the CPU's, to the bit for 8 bits.
template <typename T, int CHANNELS, int HALVINGS>
__device__ inline float scaled(const T* plane, long long pitch, int columns, int rows, int width, int height, int column,
                               int row) {
    columns >>= HALVINGS;
    rows >>= HALVINGS;
    float x, y;
    int left = placed(columns, width, column, &x), first = placed(rows, height, row, &y);
    int here = clamped(left, 0, columns - 1), next = clamped(left + 1, 0, columns - 1);
    int above = clamped(first, 0, rows - 1), below = clamped(first + 1, 0, rows - 1);
    int corners[4];
    for (int corner = 0; corner < 4; corner++)
        corners[corner] = in_halves<T, CHANNELS, HALVINGS>(plane, pitch, corner & 1 ? next : here,
                                                           corner >> 1 ? below : above);
    if (sizeof(T) > 1) {  // values of 16 bits would not fit into the integers
        float upper = corners[0] + x * (corners[1] - corners[0]), lower = corners[2] + x * (corners[3] - corners[2]);
        return upper + y * (lower - upper);
    }
    int upper = between(corners[0], corners[1], x) >> 4, lower = between(corners[2], corners[3], x) >> 4;
    return (float)((((weight_of(1.0f - y) * upper) >> 16) + ((weight_of(y) * lower) >> 16) + 2) >> 2);
}

template <typename T, int CHANNELS>
__device__ inline float shrunk(const T* plane, long long pitch, int columns, int rows, int halvings, int width,
                               int height, int column, int row) {
    switch (halvings) {
        case 0: return scaled<T, CHANNELS, 0>(plane, pitch, columns, rows, width, height, column, row);
        case 1: return scaled<T, CHANNELS, 1>(plane, pitch, columns, rows, width, height, column, row);
        case 2: return scaled<T, CHANNELS, 2>(plane, pitch, columns, rows, width, height, column, row);
        case 3: return scaled<T, CHANNELS, 3>(plane, pitch, columns, rows, width, height, column, row);
        default: return scaled<T, CHANNELS, MOST_HALVINGS>(plane, pitch, columns, rows, width, height, column, row);
    }
}

// IEEE 754 binary16, rounded to the nearest, ties to even. Header-free: cuda_fp16.h is not on every machine.
__device__ inline u16 half_of(float value) {
    union {
        float number;
        unsigned int bits;
    } from;
    from.number = value;
    unsigned int sign = (from.bits >> 16) & 0x8000u, magnitude = from.bits & 0x7fffffffu;
    if (magnitude >= 0x47800000u) return (u16)(sign | 0x7c00u);  // 65536 and more
    if (magnitude < 0x38800000u) {                               // below 2**-14: whole multiples of 2**-24
        from.bits = magnitude;
        float steps = from.number * 16777216.0f, whole = floorf(steps);
        unsigned int count = (unsigned int)whole;
        float rest = steps - whole;
        count += rest > 0.5f || (rest == 0.5f && (count & 1u)) ? 1u : 0u;
        return (u16)(sign | count);
    }
    unsigned int even = (magnitude >> 13) & 1u;
    return (u16)(sign | ((magnitude - 0x38000000u + 0x0fffu + even) >> 13));
}

__device__ inline void stored(void* target, long long place, int kind, float value) {
    if (kind == STORE_U8)
        ((u8*)target)[place] = (u8)value;
    else if (kind == STORE_HALF)
        ((u16*)target)[place] = half_of(value);
    else
        ((float*)target)[place] = value;
}

__device__ inline float channel_of(const float* matrix, int channel, float y, float u, float v) {
    const float* row = matrix + 4 * channel;
    return rounded(row[0] * y + row[1] * u + row[2] * v + row[3], 255);
}

template <typename T>
__device__ inline void prepared(const Preparation& all) {
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= all.padded_width || y >= all.padded_height) return;
    float channels[3] = {0, 0, 0};
    if (x < all.width && y < all.height) {
        bool across = all.rotation == 90 || all.rotation == 270;
        int width = across ? all.height : all.width, height = across ? all.width : all.height;
        int column = x, row = y;
        turned_back(all.rotation, all.width, all.height, &column, &row);
        const Source& from = all.source;
        float luma = shrunk<T, 1>((const T*)from.y, from.y_pitch, from.columns, from.rows, all.luma_halvings, width,
                                  height, column, row);
        float chroma[2];
        for (int c = 0; c < 2; c++)
            chroma[c] = shrunk<T, 2>((const T*)from.uv + c, from.uv_pitch, (from.columns + 1) / 2, (from.rows + 1) / 2,
                                     all.chroma_halvings, width, height, column, row);
        luma = rounded(luma * from.scale, 255);
        for (int c = 0; c < 2; c++) chroma[c] = rounded(chroma[c] * from.scale, 255);
        if (all.luma) all.luma[(long long)row * width + column] = (u8)luma;
        for (int c = 0; c < 3; c++) channels[c] = channel_of(from.matrix, c, luma, chroma[0], chroma[1]);
    }
    long long plane = (long long)all.padded_width * all.padded_height, place = (long long)y * all.padded_width + x;
    for (int c = 0; c < 3; c++) stored(all.target, c * plane + place, all.kind, (channels[c] - all.mean[c]) * all.gain[c]);
}

__device__ inline float thumbnail_sample(const Thumbnail& all, int column, int row) {
    float x, y;
    int left = placed(all.columns, THUMBNAIL_WIDTH * THUMBNAIL_DENSITY, column, &x);
    int first = placed(all.rows, THUMBNAIL_HEIGHT * THUMBNAIL_DENSITY, row, &y);
    const u8* above = all.luma + (long long)clamped(first, 0, all.rows - 1) * all.columns;
    const u8* below = all.luma + (long long)clamped(first + 1, 0, all.rows - 1) * all.columns;
    int here = clamped(left, 0, all.columns - 1), next = clamped(left + 1, 0, all.columns - 1);
    float upper = above[here] + x * (above[next] - above[here]), lower = below[here] + x * (below[next] - below[here]);
    return rounded(upper + y * (lower - upper), 255);
}

template <typename T, int CHANNELS>
__device__ inline float warped_sample(const T* patch, long long pitch, const Warp& warp, float x, float y) {
    int left = (int)floorf(x), first = (int)floorf(y);
    float beyond_x = x - left, beyond_y = y - first, value = 0;
    for (int corner = 0; corner < 4; corner++) {
        int column = clamped(left + (corner & 1), 0, warp.columns - 1);
        int row = clamped(first + (corner >> 1), 0, warp.rows - 1);
        float weight = (corner & 1 ? beyond_x : 1 - beyond_x) * (corner >> 1 ? beyond_y : 1 - beyond_y);
        value += weight * averaged<T, CHANNELS>(patch, pitch, column, row, warp.halvings);
    }
    return value;
}

// One value of a chip; where the picture shrinks, the mean of four.
template <typename T, int CHANNELS>
__device__ inline float warped(const T* plane, long long pitch, const Warp& warp, int x, int y) {
    const T* patch = plane + (long long)warp.first_y * pitch + (long long)warp.first_x * CHANNELS;
    float sum = 0;
    for (int j = 0; j < warp.density; j++)
        for (int i = 0; i < warp.density; i++) {
            float across = (float)(x * warp.density + i), down = (float)(y * warp.density + j);
            float px = warp.matrix[0] * across + warp.matrix[1] * down + warp.matrix[2];
            float py = warp.matrix[3] * across + warp.matrix[4] * down + warp.matrix[5];
            sum += warped_sample<T, CHANNELS>(patch, pitch, warp, px, py);
        }
    return sum / (float)(warp.density * warp.density);
}

template <typename T>
__device__ inline void chipped(const Chips& all) {
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y, number = blockIdx.z;
    if (x >= all.size || y >= all.size) return;
    const Source& from = all.source;
    const Chips::Face& face = all.faces[number];
    float luma = warped<T, 1>((const T*)from.y, from.y_pitch, face.luma, x, y), chroma[2];
    for (int c = 0; c < 2; c++) chroma[c] = warped<T, 2>((const T*)from.uv + c, from.uv_pitch, face.chroma, x, y);
    luma = rounded(luma * from.scale, 255);
    for (int c = 0; c < 2; c++) chroma[c] = rounded(chroma[c] * from.scale, 255);
    long long plane = (long long)all.size * all.size, place = (long long)y * all.size + x;
    for (int c = 0; c < 3; c++)
        stored(all.target, (3LL * number + c) * plane + place, all.kind,
               channel_of(from.matrix, c, luma, chroma[0], chroma[1]));
}

template <typename T>
__device__ inline void spread(const Planar& all) {
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= all.columns || y >= all.rows) return;
    T* target = (T*)all.target;
    target[(long long)y * all.columns + x] = (T)(((const T*)all.y)[y * all.y_pitch + x] >> all.shift);
    int columns = all.columns / 2, rows = all.rows / 2;
    if (x >= columns || y >= rows) return;
    const T* chroma = (const T*)all.uv + y * all.uv_pitch + 2 * x;
    target += (long long)all.columns * all.rows + (long long)y * columns + x;
    target[0] = (T)(chroma[0] >> all.shift);
    target[(long long)columns * rows] = (T)(chroma[1] >> all.shift);
}

extern "C" {
__global__ void compose_y8(const Composition all) { composed<u8, 1>(all); }
__global__ void compose_uv8(const Composition all) { composed<u8, 2>(all); }
__global__ void compose_y16(const Composition all) { composed<u16, 1>(all); }
__global__ void compose_uv16(const Composition all) { composed<u16, 2>(all); }
__global__ void halve_y8(const Halving all) { halved<u8, 1>(all); }
__global__ void halve_uv8(const Halving all) { halved<u8, 2>(all); }
__global__ void halve_y16(const Halving all) { halved<u16, 1>(all); }
__global__ void halve_uv16(const Halving all) { halved<u16, 2>(all); }
__global__ void blur_y8(const Blurring all) { blurred<u8, 1>(all); }
__global__ void blur_uv8(const Blurring all) { blurred<u8, 2>(all); }
__global__ void blur_y16(const Blurring all) { blurred<u16, 1>(all); }
__global__ void blur_uv16(const Blurring all) { blurred<u16, 2>(all); }
__global__ void enlarge_y(const Enlarging all) { enlarged<1>(all); }
__global__ void enlarge_uv(const Enlarging all) { enlarged<2>(all); }
__global__ void spread_8(const Planar all) { spread<u8>(all); }
__global__ void spread_16(const Planar all) { spread<u16>(all); }
__global__ void prepare_8(const Preparation all) { prepared<u8>(all); }
__global__ void prepare_16(const Preparation all) { prepared<u16>(all); }
__global__ void chips_8(const Chips all) { chipped<u8>(all); }
__global__ void chips_16(const Chips all) { chipped<u16>(all); }

__global__ void thumbnail(const Thumbnail all) {
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= THUMBNAIL_WIDTH || y >= THUMBNAIL_HEIGHT) return;
    float sum = 0;
    for (int j = 0; j < THUMBNAIL_DENSITY; j++)
        for (int i = 0; i < THUMBNAIL_DENSITY; i++)
            sum += thumbnail_sample(all, x * THUMBNAIL_DENSITY + i, y * THUMBNAIL_DENSITY + j);
    all.target[y * THUMBNAIL_WIDTH + x] = (u8)rounded(sum / (THUMBNAIL_DENSITY * THUMBNAIL_DENSITY), 255);
}
}
