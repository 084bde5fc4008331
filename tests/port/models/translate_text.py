"""A translator with attention by dynamic_rnn, as such code was written for TensorFlow 1."""
from __future__ import print_function
import tensorflow as tf
from tensorflow.python.ops import array_ops, math_ops
from tensorflow.python.ops import variable_scope as vs
from tensorflow.python.util import nest


def encoder(ids, lengths, vocab_size, size, dtype=tf.float32):
    with vs.variable_scope('encoder', dtype=dtype) as scope:
        embedding = vs.get_variable('embedding', [vocab_size, size])
        inputs = tf.nn.embedding_lookup(embedding, ids)
        forward = tf.nn.rnn_cell.GRUCell(size)
        backward = tf.nn.rnn_cell.GRUCell(size)
        (out_fw, out_bw), (state_fw, state_bw) = tf.nn.bidirectional_dynamic_rnn(
            forward, backward, inputs, sequence_length=lengths, dtype=dtype)
        memory = array_ops.concat([out_fw, out_bw], 2)
        state = tf.layers.dense(array_ops.concat([state_fw, state_bw], 1), size, tf.nn.tanh, name='bridge')
    return memory, state


class AttentionCell(tf.nn.rnn_cell.RNNCell):
    """A GRU that looks at the memory before each step."""

    def __init__(self, num_units, memory, lengths):
        super(AttentionCell, self).__init__()
        self._num_units = num_units
        self._memory = memory
        self._lengths = lengths
        self._cell = tf.nn.rnn_cell.GRUCell(num_units)

    @property
    def state_size(self):
        return self._num_units

    @property
    def output_size(self):
        return self._num_units

    def call(self, inputs, state):
        with tf.variable_scope('attention'):
            keys = tf.layers.dense(self._memory, self._num_units, use_bias=False, name='keys')
            query = tf.expand_dims(tf.layers.dense(state, self._num_units, name='query'), 1)
            v = tf.get_variable('v', [self._num_units])
            scores = math_ops.reduce_sum(v * math_ops.tanh(keys + query), [2])
            mask = tf.sequence_mask(self._lengths, tf.shape(self._memory)[1], dtype=tf.float32)
            scores = scores * mask + (1.0 - mask) * tf.float32.min
            weights = tf.nn.softmax(scores)
            context = math_ops.reduce_sum(array_ops.expand_dims(weights, 2) * self._memory, 1)
        output, state = self._cell(tf.concat([inputs, context], 1), state)
        return output, state


def translate(source, source_lengths, target, target_lengths, is_training=False):
    size, source_words, target_words = 6, 11, 13
    memory, state = encoder(source, source_lengths, source_words, size)
    with vs.variable_scope('decoder') as scope:
        embedding = vs.get_variable('embedding', [target_words, size],
                                    initializer=tf.random_uniform_initializer(-0.1, 0.1))
        inputs = tf.nn.embedding_lookup(embedding, target)
        cell = AttentionCell(size, memory, source_lengths)
        if is_training:
            cell = tf.nn.rnn_cell.DropoutWrapper(cell, output_keep_prob=1.0)
        outputs, last = tf.nn.dynamic_rnn(cell, inputs, target_lengths, initial_state=state, scope=scope)
        logits = tf.layers.dense(outputs, target_words, use_bias=False, name='projection')
    best = math_ops.argmax(logits, axis=-1)
    return {'logits': logits, 'last': last, 'best': best}


def loss(source, source_lengths, target, target_lengths):
    logits = translate(source, source_lengths, target[:, :-1], target_lengths, True)['logits']
    labels = target[:, 1:]
    weights = tf.sequence_mask(target_lengths, tf.shape(labels)[1], tf.float32)
    crossent = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    total = tf.reduce_sum(crossent * weights)
    count = tf.reduce_sum(weights)
    return total / tf.maximum(count, 1.0)
