"""Image translation with instance norm, as such code was written for TensorFlow 1 and Python 2."""
import tensorflow as tf

def instance_norm(input, name="instance_norm"):
    with tf.variable_scope(name):
        depth = input.get_shape()[3]
        scale = tf.get_variable("scale", [depth], initializer=tf.random_normal_initializer(1.0, 0.02, dtype=tf.float32))
        offset = tf.get_variable("offset", [depth], initializer=tf.constant_initializer(0.0))
        mean, variance = tf.nn.moments(input, axes=[1,2], keep_dims=True)
        epsilon = 1e-5
        inv = tf.rsqrt(variance + epsilon)
        normalized = (input-mean)*inv
        return scale*normalized + offset

def conv2d(input_, output_dim, ks=4, s=2, stddev=0.02, padding='SAME', name="conv2d"):
    with tf.variable_scope(name):
        return tf.contrib.slim.conv2d(input_, output_dim, ks, s, padding=padding, activation_fn=None,
                            weights_initializer=tf.truncated_normal_initializer(stddev=stddev),
                            biases_initializer=None)

def deconv2d(input_, output_dim, ks=4, s=2, stddev=0.02, name="deconv2d"):
    # Upsampling procedure, like suggested in this article:
    # resize, then a convolution
    input_ = tf.image.resize_images(images=input_, size=tf.shape(input_)[1:3] * s,
                                    method=tf.image.ResizeMethod.NEAREST_NEIGHBOR)
    return conv2d(input_=input_, output_dim=output_dim, ks=ks, s=1, padding='SAME', name=name)

def lrelu(x, leak=0.2, name="lrelu"):
    return tf.maximum(x, leak*x)

def abs_criterion(in_, target):
    return tf.reduce_mean(tf.abs(in_ - target))

def mae_criterion(in_, target):
    return tf.reduce_mean((in_-target)**2)

def generator(image, options, reuse=False, name="generator"):

    with tf.variable_scope(name):
        # image is 16 x 16 x input_c_dim
        if reuse:
            tf.get_variable_scope().reuse_variables()
        else:
            assert tf.get_variable_scope().reuse is False

        def residule_block(x, dim, ks=3, s=1, name='res'):
            p = int((ks - 1) / 2)
            y = tf.pad(x, [[0, 0], [p, p], [p, p], [0, 0]], "REFLECT")
            y = instance_norm(conv2d(y, dim, ks, s, padding='VALID', name=name+'_c1'), name+'_bn1')
            y = tf.pad(tf.nn.relu(y), [[0, 0], [p, p], [p, p], [0, 0]], "REFLECT")
            y = instance_norm(conv2d(y, dim, ks, s, padding='VALID', name=name+'_c2'), name+'_bn2')
            return y + x

        c0 = tf.pad(image, [[0, 0], [3, 3], [3, 3], [0, 0]], "REFLECT")
        c1 = tf.nn.relu(instance_norm(conv2d(c0, options['gf_dim'], 7, 1, padding='VALID', name='g_e1_c'), 'g_e1_bn'))
        c2 = tf.nn.relu(instance_norm(conv2d(c1, options['gf_dim']*2, 3, 2, name='g_e2_c'), 'g_e2_bn'))
        r = c2
        for n in xrange(2):
            r = residule_block(r, options['gf_dim']*2, name='g_r%d' % n)
        print "residual blocks:", r.get_shape()
        d1 = deconv2d(r, options['gf_dim'], 3, 2, name='g_d1_dc')
        d1 = tf.nn.relu(instance_norm(d1, 'g_d1_bn'))
        d2 = tf.pad(d1, [[0, 0], [3, 3], [3, 3], [0, 0]], "REFLECT")
        pred = tf.nn.tanh(conv2d(d2, options['output_c_dim'], 7, 1, padding='VALID', name='g_pred_c'))

        return pred

def discriminator(image, options, reuse=False, name="discriminator"):

    with tf.variable_scope(name) as scope:
        if reuse:
            scope.reuse_variables()
        h0 = lrelu(conv2d(image, options['df_dim'], name='d_h0_conv'))
        h1 = lrelu(instance_norm(conv2d(h0, options['df_dim']*2, name='d_h1_conv'), 'd_bn1'))
        h4 = conv2d(h1, 1, s=1, name='d_h3_pred')
        return h4

OPTIONS = dict(gf_dim=4, df_dim=4, output_c_dim=3)

def translate(a, b):
    fake_b = generator(a, OPTIONS, False, name="generatorA2B")
    fake_a_ = generator(fake_b, OPTIONS, False, name="generatorB2A")
    fake_a = generator(b, OPTIONS, True, name="generatorB2A")
    fake_b_ = generator(fake_a, OPTIONS, True, name="generatorA2B")
    score = discriminator(fake_b, OPTIONS, reuse=False, name="discriminatorB")
    real = discriminator(b, OPTIONS, reuse=True, name="discriminatorB")
    return dict(fake_a=fake_a, fake_b=fake_b, cycled_a=fake_a_, cycled_b=fake_b_, score=score, real=real)

def loss(a, b):
    out = translate(a, b)
    g_loss = mae_criterion(out['score'], tf.ones_like(out['score'])) \
        + 10 * abs_criterion(a, out['cycled_a']) \
        + 10 * abs_criterion(b, out['cycled_b'])
    d_loss = (mae_criterion(out['real'], tf.ones_like(out['real'])) +
              mae_criterion(out['score'], tf.zeros_like(out['score']))) / 2
    return g_loss + d_loss
