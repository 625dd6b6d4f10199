// ECDSA on P-256 (FIPS 186-5 §6.4.2) with multiples of the public key that were computed beforehand, as OpenSSL itself keeps
// them of the curve's own base point. All arithmetic is OpenSSL's; only the order of its steps is told here. Everything is
// public, so nothing has to take the same time. Wycheproof's vectors and a comparison with EVP go through it.
#ifndef DAYPASS_COPENSSL_P256_TABLE_H
#define DAYPASS_COPENSSL_P256_TABLE_H

#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/provider.h>
#include <string.h>

// The curve; the same with the public key in the place of its base point, and that point's multiples (150 KiB).
typedef struct {
    EC_GROUP *curve;
    EC_GROUP *own;
} daypass_p256_table;

#if defined(OPENSSL_NO_DEPRECATED_3_0) || OPENSSL_VERSION_MAJOR > 3

static inline void daypass_p256_table_free(daypass_p256_table *table) { (void)table; }

static inline daypass_p256_table *daypass_p256_table_new(
    const EVP_PKEY *key, const unsigned char *x, const unsigned char *y) {
    (void)key, (void)x, (void)y;
    return NULL;
}

static inline int daypass_p256_table_verify(
    const daypass_p256_table *table, const unsigned char *signature, const unsigned char *digest) {
    (void)table, (void)signature, (void)digest;
    return -1;
}

#else

static inline void daypass_p256_table_free(daypass_p256_table *table) {
    if (table == NULL) return;
    EC_GROUP_free(table->own);
    EC_GROUP_free(table->curve);
    OPENSSL_free(table);
}

// x, y: 32 bytes each, big-endian; OpenSSL refuses a point that is not on the curve. NULL also where another provider than
// OpenSSL's default one has the key: it was chosen to do all of it. Some 10 ms.
static inline daypass_p256_table *daypass_p256_table_new(
    const EVP_PKEY *key, const unsigned char *x, const unsigned char *y) {
    const OSSL_PROVIDER *provider = EVP_PKEY_get0_provider(key);
    if (provider == NULL || strcmp(OSSL_PROVIDER_get0_name(provider), "default") != 0) return NULL;
    daypass_p256_table *table = OPENSSL_zalloc(sizeof *table);
    if (table == NULL) return NULL;
    BIGNUM *a = BN_bin2bn(x, 32, NULL), *b = BN_bin2bn(y, 32, NULL);
    EC_POINT *point = NULL;
    int done = a != NULL && b != NULL && (table->curve = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1)) != NULL
        && (table->own = EC_GROUP_dup(table->curve)) != NULL && (point = EC_POINT_new(table->curve)) != NULL
        && EC_POINT_set_affine_coordinates(table->curve, point, a, b, NULL) == 1
        && EC_GROUP_set_generator(table->own, point, EC_GROUP_get0_order(table->curve), BN_value_one()) == 1;
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wdeprecated-declarations"
    done = done && EC_GROUP_precompute_mult(table->own, NULL) == 1 && EC_GROUP_have_precompute_mult(table->own) == 1;
#pragma clang diagnostic pop
    EC_POINT_free(point);
    BN_free(a);
    BN_free(b);
    if (!done) {
        daypass_p256_table_free(table);
        table = NULL;
    }
    return table;
}

// signature: r ‖ s, 64 bytes. digest: 32 bytes. 1 where it is one, 0 where it is none, -1 where that could not be found out.
static inline int daypass_p256_table_verify(
    const daypass_p256_table *table, const unsigned char *signature, const unsigned char *digest) {
    const BIGNUM *order = EC_GROUP_get0_order(table->curve);
    BN_CTX *context = BN_CTX_new();
    EC_POINT *first = EC_POINT_new(table->curve), *second = EC_POINT_new(table->own);
    int valid = -1;
    if (context != NULL && first != NULL && second != NULL) {
        BN_CTX_start(context);
        BIGNUM *r = BN_CTX_get(context), *s = BN_CTX_get(context), *e = BN_CTX_get(context);
        BIGNUM *u1 = BN_CTX_get(context), *u2 = BN_CTX_get(context), *x = BN_CTX_get(context);
        if (x != NULL && BN_bin2bn(signature, 32, r) != NULL && BN_bin2bn(signature + 32, 32, s) != NULL
            && BN_bin2bn(digest, 32, e) != NULL) {
            if (BN_is_zero(r) || BN_is_zero(s) || BN_cmp(r, order) >= 0 || BN_cmp(s, order) >= 0) {
                valid = 0;
            } else if (BN_mod_inverse(s, s, order, context) != NULL && BN_mod_mul(u1, e, s, order, context) == 1
                && BN_mod_mul(u2, r, s, order, context) == 1
                && EC_POINT_mul(table->curve, first, u1, NULL, NULL, context) == 1
                && EC_POINT_mul(table->own, second, u2, NULL, NULL, context) == 1
                && EC_POINT_add(table->curve, first, first, second, context) == 1) {
                if (EC_POINT_is_at_infinity(table->curve, first))
                    valid = 0;
                else if (EC_POINT_get_affine_coordinates(table->curve, first, x, NULL, context) == 1
                    && BN_nnmod(x, x, order, context) == 1)
                    valid = BN_cmp(x, r) == 0;
            }
        }
        BN_CTX_end(context);
    }
    EC_POINT_free(second);
    EC_POINT_free(first);
    BN_CTX_free(context);
    return valid;
}

#endif
#endif
