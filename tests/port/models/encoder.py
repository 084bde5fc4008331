# coding=utf-8
"""A transformer encoder, as such code was written for TensorFlow 1."""

from __future__ import absolute_import
from __future__ import division
from __future__ import print_function

import collections
import copy
import json
import math
import numpy as np
import tensorflow as tf


class EncoderConfig(object):
  """Sizes of the encoder."""

  def __init__(self, vocab_size, hidden_size=16, layers=2, heads=4, intermediate_size=32,
               hidden_act="gelu", hidden_dropout_prob=0.0, attention_dropout_prob=0.0,
               max_positions=12, type_vocab_size=2, initializer_range=0.02):
    self.vocab_size = vocab_size
    self.hidden_size = hidden_size
    self.layers = layers
    self.heads = heads
    self.intermediate_size = intermediate_size
    self.hidden_act = hidden_act
    self.hidden_dropout_prob = hidden_dropout_prob
    self.attention_dropout_prob = attention_dropout_prob
    self.max_positions = max_positions
    self.type_vocab_size = type_vocab_size
    self.initializer_range = initializer_range

  @classmethod
  def from_json_file(cls, path):
    with tf.gfile.GFile(path, "r") as reader:
      return cls(**json.loads(reader.read()))


class Encoder(object):
  """Embeddings, layers of attention, and a pooled first position."""

  def __init__(self, config, is_training, input_ids, input_mask=None, token_type_ids=None,
               use_one_hot_embeddings=False, scope=None):
    config = copy.deepcopy(config)
    if not is_training:
      config.hidden_dropout_prob = 0.0
      config.attention_dropout_prob = 0.0

    input_shape = get_shape_list(input_ids, expected_rank=2)
    batch_size = input_shape[0]
    seq_length = input_shape[1]

    if input_mask is None:
      input_mask = tf.ones(shape=[batch_size, seq_length], dtype=tf.int32)
    if token_type_ids is None:
      token_type_ids = tf.zeros(shape=[batch_size, seq_length], dtype=tf.int32)

    with tf.variable_scope(scope, default_name="encoder"):
      with tf.variable_scope("embeddings"):
        (self.embedding_output, self.embedding_table) = embed(
            input_ids, config.vocab_size, config.hidden_size, config.initializer_range,
            use_one_hot_embeddings=use_one_hot_embeddings)
        self.embedding_output = add_positions(
            self.embedding_output, token_type_ids, config)

      with tf.variable_scope("layers"):
        mask = attention_mask(input_ids, input_mask)
        self.all_layers = transformer(self.embedding_output, mask, config)
      self.sequence_output = self.all_layers[-1]

      with tf.variable_scope("pooler"):
        first = tf.squeeze(self.sequence_output[:, 0:1, :], axis=1)
        self.pooled_output = tf.layers.dense(
            first, config.hidden_size, activation=tf.tanh,
            kernel_initializer=create_initializer(config.initializer_range))


def gelu(x):
  cdf = 0.5 * (1.0 + tf.erf(x / tf.sqrt(2.0)))
  return x * cdf


def get_activation(name):
  if name is None or not isinstance(name, str):
    return name
  act = name.lower()
  if act == "linear":
    return None
  elif act == "relu":
    return tf.nn.relu
  elif act == "gelu":
    return gelu
  elif act == "tanh":
    return tf.tanh
  else:
    raise ValueError("Unsupported activation: %s" % act)


def dropout(x, prob):
  if prob is None or prob == 0.0:
    return x
  return tf.nn.dropout(x, 1.0 - prob)


def layer_norm(x, name=None):
  return tf.contrib.layers.layer_norm(
      inputs=x, begin_norm_axis=-1, begin_params_axis=-1, scope=name)


def create_initializer(initializer_range=0.02):
  return tf.truncated_normal_initializer(stddev=initializer_range)


def embed(input_ids, vocab_size, size, initializer_range, use_one_hot_embeddings=False):
  if input_ids.shape.ndims == 2:
    input_ids = tf.expand_dims(input_ids, axis=[-1])

  table = tf.get_variable(
      name="word_embeddings", shape=[vocab_size, size],
      initializer=create_initializer(initializer_range))

  flat_ids = tf.reshape(input_ids, [-1])
  if use_one_hot_embeddings:
    one_hot_ids = tf.one_hot(flat_ids, depth=vocab_size)
    output = tf.matmul(one_hot_ids, table)
  else:
    output = tf.gather(table, flat_ids)

  input_shape = get_shape_list(input_ids)
  output = tf.reshape(output, input_shape[0:-1] + [input_shape[-1] * size])
  return (output, table)


def add_positions(x, token_type_ids, config):
  input_shape = get_shape_list(x, expected_rank=3)
  batch_size, seq_length, width = input_shape
  output = x

  types = tf.get_variable(
      name="token_type_embeddings", shape=[config.type_vocab_size, width],
      initializer=create_initializer(config.initializer_range))
  one_hot_types = tf.one_hot(tf.reshape(token_type_ids, [-1]), depth=config.type_vocab_size)
  type_embeddings = tf.matmul(one_hot_types, types)
  output += tf.reshape(type_embeddings, [batch_size, seq_length, width])

  assert_op = tf.assert_less_equal(seq_length, config.max_positions)
  with tf.control_dependencies([assert_op]):
    full = tf.get_variable(
        name="position_embeddings", shape=[config.max_positions, width],
        initializer=create_initializer(config.initializer_range))
    positions = tf.slice(full, [0, 0], [seq_length, -1])
    num_dims = len(output.shape.as_list())
    broadcast_shape = []
    for _ in range(num_dims - 2):
      broadcast_shape.append(1)
    broadcast_shape.extend([seq_length, width])
    positions = tf.reshape(positions, broadcast_shape)
    output += positions
  return dropout(layer_norm(output), config.hidden_dropout_prob)


def attention_mask(from_tensor, to_mask):
  from_shape = get_shape_list(from_tensor, expected_rank=[2, 3])
  batch_size = from_shape[0]
  from_length = from_shape[1]
  to_length = get_shape_list(to_mask, expected_rank=2)[1]
  to_mask = tf.cast(tf.reshape(to_mask, [batch_size, 1, to_length]), tf.float32)
  ones = tf.ones(shape=[batch_size, from_length, 1], dtype=tf.float32)
  return ones * to_mask


def attention(x, mask, heads, size, config):

  def transpose_for_scores(t, batch_size, length):
    t = tf.reshape(t, [batch_size, length, heads, size])
    return tf.transpose(t, [0, 2, 1, 3])

  batch_size, length, width = get_shape_list(x, expected_rank=3)
  init = create_initializer(config.initializer_range)
  x_2d = tf.reshape(x, [-1, width])
  query = tf.layers.dense(x_2d, heads * size, name="query", kernel_initializer=init)
  key = tf.layers.dense(x_2d, heads * size, name="key", kernel_initializer=init)
  value = tf.layers.dense(x_2d, heads * size, name="value", kernel_initializer=init)

  query = transpose_for_scores(query, batch_size, length)
  key = transpose_for_scores(key, batch_size, length)
  scores = tf.matmul(query, key, transpose_b=True)
  scores = tf.multiply(scores, 1.0 / math.sqrt(float(size)))

  if mask is not None:
    mask = tf.expand_dims(mask, axis=[1])
    adder = (1.0 - tf.cast(mask, tf.float32)) * -10000.0
    scores += adder

  probs = dropout(tf.nn.softmax(scores), config.attention_dropout_prob)
  value = tf.reshape(value, [batch_size, length, heads, size])
  value = tf.transpose(value, [0, 2, 1, 3])
  context = tf.matmul(probs, value)
  context = tf.transpose(context, [0, 2, 1, 3])
  return tf.reshape(context, [batch_size, length, heads * size])


def transformer(x, mask, config):
  if config.hidden_size % config.heads != 0:
    raise ValueError("The hidden size (%d) is not a multiple of the number of heads (%d)"
                     % (config.hidden_size, config.heads))
  size = int(config.hidden_size / config.heads)
  act = get_activation(config.hidden_act)
  init = create_initializer(config.initializer_range)
  outputs = []
  previous = x
  for n in range(config.layers):
    with tf.variable_scope("layer_%d" % n):
      with tf.variable_scope("attention"):
        with tf.variable_scope("self"):
          attended = attention(previous, mask, config.heads, size, config)
        with tf.variable_scope("output"):
          attended = tf.layers.dense(attended, config.hidden_size, kernel_initializer=init)
          attended = dropout(attended, config.hidden_dropout_prob)
          attended = layer_norm(attended + previous)
      with tf.variable_scope("intermediate"):
        between = tf.layers.dense(
            attended, config.intermediate_size, activation=act, kernel_initializer=init)
      with tf.variable_scope("output"):
        output = tf.layers.dense(between, config.hidden_size, kernel_initializer=init)
        output = dropout(output, config.hidden_dropout_prob)
        output = layer_norm(output + attended)
        previous = output
        outputs.append(output)
  return outputs


def get_shape_list(tensor, expected_rank=None, name=None):
  if name is None:
    name = tensor.name
  if expected_rank is not None:
    assert_rank(tensor, expected_rank, name)
  shape = tensor.shape.as_list()

  non_static = []
  for (index, dim) in enumerate(shape):
    if dim is None:
      non_static.append(index)
  if not non_static:
    return shape

  dynamic = tf.shape(tensor)
  for index in non_static:
    shape[index] = dynamic[index]
  return shape


def assert_rank(tensor, expected_rank, name=None):
  expected = {}
  if isinstance(expected_rank, int):
    expected[expected_rank] = True
  else:
    for x in expected_rank:
      expected[x] = True
  actual = tensor.shape.ndims
  if actual not in expected:
    scope_name = tf.get_variable_scope().name
    raise ValueError("For the tensor `%s` in scope `%s`, the rank `%d` is not `%s`"
                     % (name, scope_name, actual, str(expected_rank)))


def classify(ids, mask, types, is_training=False):
  model = Encoder(EncoderConfig(20), is_training, ids, mask, types)
  with tf.variable_scope("loss"):
    weights = tf.get_variable("output_weights", [3, 16],
                              initializer=tf.truncated_normal_initializer(stddev=0.02))
    bias = tf.get_variable("output_bias", [3], initializer=tf.zeros_initializer())
    logits = tf.nn.bias_add(tf.matmul(model.pooled_output, weights, transpose_b=True), bias)
  return {"logits": logits, "sequence": model.sequence_output, "pooled": model.pooled_output}


def loss(ids, mask, types, labels):
  logits = classify(ids, mask, types, is_training=True)["logits"]
  log_probs = tf.nn.log_softmax(logits, axis=-1)
  one_hot_labels = tf.one_hot(labels, depth=3, dtype=tf.float32)
  per_example = -tf.reduce_sum(one_hot_labels * log_probs, axis=-1)
  return tf.reduce_mean(per_example)
