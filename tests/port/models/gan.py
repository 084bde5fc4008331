"""A generator and a discriminator that is shared, as such code was written for TensorFlow 1."""
from __future__ import division
import math
import numpy as np
import tensorflow as tf

from tensorflow.python.framework import ops

try:
  image_summary = tf.image_summary
  scalar_summary = tf.scalar_summary
  histogram_summary = tf.histogram_summary
except:
  image_summary = tf.summary.image
  scalar_summary = tf.summary.scalar
  histogram_summary = tf.summary.histogram

if "concat_v2" in dir(tf):
  def concat(tensors, axis, *args, **kwargs):
    return tf.concat_v2(tensors, axis, *args, **kwargs)
else:
  def concat(tensors, axis, *args, **kwargs):
    return tf.concat(tensors, axis, *args, **kwargs)


class batch_norm(object):
  def __init__(self, epsilon=1e-5, momentum=0.9, name="batch_norm"):
    with tf.variable_scope(name):
      self.epsilon = epsilon
      self.momentum = momentum
      self.name = name

  def __call__(self, x, train=True):
    return tf.contrib.layers.batch_norm(x,
                      decay=self.momentum,
                      updates_collections=None,
                      epsilon=self.epsilon,
                      scale=True,
                      is_training=train,
                      scope=self.name)


def conv_cond_concat(x, y):
  """Concatenate conditioning vector on feature map axis."""
  x_shapes = x.get_shape()
  y_shapes = y.get_shape()
  return concat([
    x, y*tf.ones([x_shapes[0], x_shapes[1], x_shapes[2], y_shapes[3]])], 3)

def conv2d(input_, output_dim,
       k_h=5, k_w=5, d_h=2, d_w=2, stddev=0.02,
       name="conv2d"):
  with tf.variable_scope(name):
    w = tf.get_variable('w', [k_h, k_w, input_.get_shape()[-1], output_dim],
              initializer=tf.truncated_normal_initializer(stddev=stddev))
    conv = tf.nn.conv2d(input_, w, strides=[1, d_h, d_w, 1], padding='SAME')

    biases = tf.get_variable('biases', [output_dim], initializer=tf.constant_initializer(0.0))
    conv = tf.reshape(tf.nn.bias_add(conv, biases), conv.get_shape())

    return conv

def deconv2d(input_, output_shape,
       k_h=5, k_w=5, d_h=2, d_w=2, stddev=0.02,
       name="deconv2d", with_w=False):
  with tf.variable_scope(name):
    # filter : [height, width, output_channels, in_channels]
    w = tf.get_variable('w', [k_h, k_w, output_shape[-1], input_.get_shape()[-1]],
              initializer=tf.random_normal_initializer(stddev=stddev))

    try:
      deconv = tf.nn.conv2d_transpose(input_, w, output_shape=output_shape,
                strides=[1, d_h, d_w, 1])

    # Support for verisons of TensorFlow before 0.7.0
    except AttributeError:
      deconv = tf.nn.deconv2d(input_, w, output_shape=output_shape,
                strides=[1, d_h, d_w, 1])

    biases = tf.get_variable('biases', [output_shape[-1]], initializer=tf.constant_initializer(0.0))
    deconv = tf.reshape(tf.nn.bias_add(deconv, biases), deconv.get_shape())

    if with_w:
      return deconv, w, biases
    else:
      return deconv

def lrelu(x, leak=0.2, name="lrelu"):
  return tf.maximum(x, leak*x)

def linear(input_, output_size, scope=None, stddev=0.02, bias_start=0.0, with_w=False):
  shape = input_.get_shape().as_list()

  with tf.variable_scope(scope or "Linear"):
    matrix = tf.get_variable("Matrix", [shape[1], output_size], tf.float32,
                 tf.random_normal_initializer(stddev=stddev))
    bias = tf.get_variable("bias", [output_size],
      initializer=tf.constant_initializer(bias_start))
    if with_w:
      return tf.matmul(input_, matrix) + bias, matrix, bias
    else:
      return tf.matmul(input_, matrix) + bias


def conv_out_size_same(size, stride):
  return int(math.ceil(float(size) / float(stride)))


class DCGAN(object):
  def __init__(self, batch_size=3, size=12, gf_dim=4, df_dim=4, c_dim=3, y_dim=2):
    self.batch_size = batch_size
    self.size = size
    self.gf_dim = gf_dim
    self.df_dim = df_dim
    self.c_dim = c_dim
    self.y_dim = y_dim
    self.d_bn1 = batch_norm(name='d_bn1')
    self.g_bn0 = batch_norm(name='g_bn0')
    self.g_bn1 = batch_norm(name='g_bn1')

  def build_model(self, images, z, y):
    self.z_sum = histogram_summary("z", z)
    self.G = self.generator(z, y)
    self.D, self.D_logits = self.discriminator(images, y, reuse=False)
    self.sampler = self.sampler(z, y)
    self.D_, self.D_logits_ = self.discriminator(self.G, y, reuse=True)

    self.d_loss_real = tf.reduce_mean(
      tf.nn.sigmoid_cross_entropy_with_logits(logits=self.D_logits, labels=tf.ones_like(self.D)))
    self.d_loss_fake = tf.reduce_mean(
      tf.nn.sigmoid_cross_entropy_with_logits(logits=self.D_logits_, labels=tf.zeros_like(self.D_)))
    self.g_loss = tf.reduce_mean(
      tf.nn.sigmoid_cross_entropy_with_logits(logits=self.D_logits_, labels=tf.ones_like(self.D_)))
    self.d_loss = self.d_loss_real + self.d_loss_fake

    t_vars = tf.trainable_variables()
    self.d_vars = [var for var in t_vars if 'd_' in var.name]
    self.g_vars = [var for var in t_vars if 'g_' in var.name]

  def discriminator(self, image, y=None, reuse=False):
    with tf.variable_scope("discriminator") as scope:
      if reuse:
        scope.reuse_variables()
      return self.score(image, y)

  def score(self, image, y):
    yb = tf.reshape(y, [self.batch_size, 1, 1, self.y_dim])
    x = conv_cond_concat(image, yb)
    h0 = lrelu(conv2d(x, self.df_dim, name='d_h0_conv'))
    h1 = lrelu(self.d_bn1(conv2d(h0, self.df_dim*2, name='d_h1_conv')))
    h1 = tf.reshape(h1, [self.batch_size, -1])
    h2 = linear(concat([h1, y], 1), 1, 'd_h2_lin')
    return tf.nn.sigmoid(h2), h2

  def discriminator_at_rest(self, image, y):
    with tf.variable_scope("discriminator"):
      self.d_bn1 = lambda x: batch_norm(name='d_bn1')(x, train=False)
      return self.score(image, y)[0]

  def generator(self, z, y=None):
    with tf.variable_scope("generator") as scope:
      return self.layers(z, y, train=True)

  def sampler(self, z, y=None):
    with tf.variable_scope("generator") as scope:
      scope.reuse_variables()
      return self.layers(z, y, train=False)

  def layers(self, z, y, train):
    s_h, s_w = self.size, self.size
    s_h2, s_w2 = conv_out_size_same(s_h, 2), conv_out_size_same(s_w, 2)
    s_h4, s_w4 = conv_out_size_same(s_h2, 2), conv_out_size_same(s_w2, 2)
    yb = tf.reshape(y, [self.batch_size, 1, 1, self.y_dim])
    z = concat([z, y], 1)
    h0 = tf.reshape(linear(z, self.gf_dim*2*s_h4*s_w4, 'g_h0_lin'), [-1, s_h4, s_w4, self.gf_dim * 2])
    h0 = tf.nn.relu(self.g_bn0(h0, train=train))
    h0 = conv_cond_concat(h0, yb)
    h1 = deconv2d(h0, [self.batch_size, s_h2, s_w2, self.gf_dim], name='g_h1')
    h1 = tf.nn.relu(self.g_bn1(h1, train=train))
    h2 = deconv2d(h1, [self.batch_size, s_h, s_w, self.c_dim], name='g_h2')
    return tf.nn.tanh(h2)


def sample(images, z, y):
  gan = DCGAN()
  with tf.variable_scope("generator"):
    made = gan.layers(z, y, train=False)
  return {'sample': made, 'made_up': gan.discriminator_at_rest(made, y)}


def loss(images, z, y):
  gan = DCGAN()
  gan.build_model(images, z, y)
  return gan.d_loss + 0.5 * gan.g_loss
