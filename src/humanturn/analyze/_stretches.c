/* MTLD's stretches, counted in C: the one loop of the analysis that runs once for every word, twice.
 *
 * humanturn.analyze.lexical has the same in Python and uses it where this was not compiled. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* Stretches, the last one in part, of the words `id` read from `first` in steps of `step`. `seen` holds for each word
 * the last stretch it occurred in; `stretch` is the number of the one under way, never used before. */
static double count(const Py_ssize_t *id, Py_ssize_t n, Py_ssize_t first, Py_ssize_t step, double threshold,
                    Py_ssize_t *seen, Py_ssize_t *stretch)
{
    double factors = 0.0;
    Py_ssize_t words = 0, types = 0;
    ++*stretch;
    for (Py_ssize_t i = 0, at = first; i < n; i++, at += step) {
        words++;
        if (seen[id[at]] != *stretch) {
            seen[id[at]] = *stretch;
            types++;
        }
        if ((double)types / (double)words <= threshold) {
            factors += 1.0;
            words = types = 0;
            ++*stretch;
        }
    }
    if (words)
        factors += (1.0 - (double)types / (double)words) / (1.0 - threshold);
    return factors != 0.0 ? factors : 1.0;
}

/* For each word, the index of where it first stood; 0, or -1 with an error set. `table` has a power of two of slots. */
static int identify(PyObject *words, Py_ssize_t n, Py_ssize_t *id, Py_hash_t *hash, Py_ssize_t *table, size_t slots)
{
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *word = PyList_GET_ITEM(words, i);
        hash[i] = PyObject_Hash(word);
        if (hash[i] == -1)
            return -1;
        size_t slot = (size_t)hash[i] & (slots - 1);
        for (id[i] = i; table[slot]; slot = (slot + 1) & (slots - 1)) {
            Py_ssize_t there = table[slot] - 1;
            if (hash[there] != hash[i])
                continue;
            int same = PyObject_RichCompareBool(PyList_GET_ITEM(words, there), word, Py_EQ);
            if (same < 0)
                return -1;
            if (same) {
                id[i] = there;
                break;
            }
        }
        table[slot] = id[i] + 1;
    }
    return 0;
}

static PyObject *both_ways(PyObject *module, PyObject *args)
{
    PyObject *words, *result = NULL;
    double threshold;
    if (!PyArg_ParseTuple(args, "O!d", &PyList_Type, &words, &threshold))
        return NULL;
    Py_ssize_t n = PyList_GET_SIZE(words), stretch = 0;
    size_t slots = 16;
    while (slots < 2 * (size_t)n)
        slots *= 2;
    Py_ssize_t *id = PyMem_Calloc(3 * (size_t)n + slots, sizeof(Py_ssize_t));
    if (id == NULL)
        return PyErr_NoMemory();
    Py_ssize_t *seen = id + n, *table = id + 3 * n;
    if (identify(words, n, id, (Py_hash_t *)(id + 2 * n), table, slots) == 0) {
        double forward = count(id, n, 0, 1, threshold, seen, &stretch);
        double backward = count(id, n, n - 1, -1, threshold, seen, &stretch);
        result = Py_BuildValue("dd", forward, backward);
    }
    PyMem_Free(id);
    return result;
}

static PyMethodDef methods[] = {
    {"both_ways", both_ways, METH_VARARGS, "both_ways(words: list, threshold: float) -> (forward, backward)"},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_stretches", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__stretches(void)
{
    return PyModuleDef_Init(&definition);
}
