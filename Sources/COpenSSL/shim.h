// What Swift cannot see of OpenSSL (macros, variadics) or must not do with it (OSSL_PARAM builders keep the
// caller's pointers until the key is built, so keys are built here, from memory that outlives the call).
// Nothing in this file decides anything: every answer is OpenSSL's own. What does stands in p256table.h.
#ifndef DAYPASS_COPENSSL_SHIM_H
#define DAYPASS_COPENSSL_SHIM_H

#include <limits.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <string.h>

static const int daypass_ed25519 = EVP_PKEY_ED25519;
static const int daypass_pss_padding = RSA_PKCS1_PSS_PADDING;
static const int daypass_pss_salt_is_digest_length = RSA_PSS_SALTLEN_DIGEST;

static inline const char *daypass_ec_group(int nid) {
    switch (nid) {
    case NID_X9_62_prime256v1: return "P-256";
    case NID_secp384r1: return "P-384";
    case NID_secp521r1: return "P-521";
    default: return NULL;
    }
}

// SHA-256 in memory of the caller's stack. OpenSSL 3's EVP interface allocates a context of its own for each digest, also in
// one that is used again. The same code computes both, with the processor's own instructions; 1, or 0 where it failed.
static inline int daypass_sha256(const unsigned char *input, size_t length, const EVP_MD *otherwise, unsigned char *output) {
#if defined(OPENSSL_NO_DEPRECATED_3_0) || OPENSSL_VERSION_MAJOR > 3
    return EVP_Digest(input, length, output, NULL, otherwise, NULL);
#else
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wdeprecated-declarations"
    SHA256_CTX context;
    (void)otherwise;
    return SHA256_Init(&context) && SHA256_Update(&context, input, length) && SHA256_Final(output, &context);
#pragma clang diagnostic pop
#endif
}

static const int daypass_p256 = NID_X9_62_prime256v1;
static const int daypass_p384 = NID_secp384r1;
static const int daypass_p521 = NID_secp521r1;

static inline EVP_PKEY *daypass_key_from_params(const char *type, OSSL_PARAM_BLD *builder, int selection) {
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *key = NULL;
    if (params == NULL || context == NULL || EVP_PKEY_fromdata_init(context) != 1
        || EVP_PKEY_fromdata(context, &key, selection, params) != 1) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(params);
    return key;
}

// modulus, exponent: big-endian
static inline EVP_PKEY *daypass_rsa_public_key(
    const unsigned char *modulus, int modulus_length, const unsigned char *exponent, int exponent_length) {
    BIGNUM *n = BN_bin2bn(modulus, modulus_length, NULL), *e = BN_bin2bn(exponent, exponent_length, NULL);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;
    if (n != NULL && e != NULL && builder != NULL && OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) == 1
        && OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e) == 1)
        key = daypass_key_from_params("RSA", builder, EVP_PKEY_PUBLIC_KEY);
    OSSL_PARAM_BLD_free(builder);
    BN_free(n);
    BN_free(e);
    return key;
}

// point: 0x04 ‖ x ‖ y; OpenSSL refuses a point that is not on the curve. scalar: big-endian, NULL for a public key
static inline EVP_PKEY *daypass_ec_key(
    int nid, const unsigned char *point, size_t point_length, const unsigned char *scalar, int scalar_length) {
    const char *group = daypass_ec_group(nid);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    BIGNUM *d = scalar == NULL ? NULL : BN_secure_new();
    EVP_PKEY *key = NULL;
    if (group != NULL && builder != NULL && (scalar == NULL || (d != NULL && BN_bin2bn(scalar, scalar_length, d) != NULL))
        && OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, group, 0) == 1
        && OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, point_length) == 1
        && (d == NULL || OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_PRIV_KEY, d) == 1))
        key = daypass_key_from_params("EC", builder, d == NULL ? EVP_PKEY_PUBLIC_KEY : EVP_PKEY_KEYPAIR);
    OSSL_PARAM_BLD_free(builder);
    BN_clear_free(d);
    return key;
}

static inline EVP_PKEY *daypass_generate_ec(int nid) {
    const char *group = daypass_ec_group(nid);
    return group == NULL ? NULL : EVP_PKEY_Q_keygen(NULL, NULL, "EC", group);
}

static inline EVP_PKEY *daypass_generate_rsa(size_t bits) { return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", bits); }

static inline EVP_PKEY *daypass_generate_ed25519(void) { return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"); }

// A parameter of a key as big-endian bytes of exactly `length`, or 0.
static inline int daypass_key_number(const EVP_PKEY *key, int which, unsigned char *out, int length) {
    static const char *const names[] = {
        OSSL_PKEY_PARAM_RSA_N, OSSL_PKEY_PARAM_RSA_E, OSSL_PKEY_PARAM_EC_PUB_X, OSSL_PKEY_PARAM_EC_PUB_Y};
    BIGNUM *number = NULL;
    int done = which >= 0 && which < 4 && EVP_PKEY_get_bn_param(key, names[which], &number) == 1
        && BN_bn2binpad(number, out, length) == length;
    BN_clear_free(number);
    return done;
}

// The curve of an EC key as a NID, or 0: also for curves given by explicit parameters, which are not named curves.
static inline int daypass_key_curve(const EVP_PKEY *key) {
    char name[80];
    size_t length = 0;
    int explicit_parameters = 0;
    if (EVP_PKEY_get_int_param(key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, &explicit_parameters) != 1
        || explicit_parameters)
        return 0;
    if (EVP_PKEY_get_group_name(key, name, sizeof name, &length) != 1) return 0;
    int nid = OBJ_txt2nid(name);
    return nid == NID_undef ? EC_curve_nist2nid(name) : nid;
}

// OpenSSL's quick check of the public half (range, curve, infinity) or, for a pair, its check of both halves.
static inline int daypass_check_key(EVP_PKEY *key, int pair) {
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    int done = context != NULL && (pair ? EVP_PKEY_check(context) : EVP_PKEY_public_check_quick(context)) == 1;
    EVP_PKEY_CTX_free(context);
    return done;
}

// The fixed-length r ‖ s of JWS (RFC 7518 §3.4) as DER; the caller frees *der with daypass_free. Its length, or -1.
static inline int daypass_ecdsa_der(const unsigned char *raw, int half, unsigned char **der) {
    ECDSA_SIG *signature = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, half, NULL), *s = BN_bin2bn(raw + half, half, NULL);
    int length = -1;
    *der = NULL;
    if (signature != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(signature, r, s) == 1) {
        r = s = NULL;
        length = i2d_ECDSA_SIG(signature, der);
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(signature);
    return length;
}

static inline int daypass_ecdsa_raw(const unsigned char *der, size_t length, unsigned char *raw, int half) {
    ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &der, (long)length);
    int done = signature != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(signature), raw, half) == half
        && BN_bn2binpad(ECDSA_SIG_get0_s(signature), raw + half, half) == half;
    ECDSA_SIG_free(signature);
    return done;
}

static inline void daypass_free(void *pointer) { OPENSSL_free(pointer); }

// A password callback that has no password, so that an encrypted PEM is an error and never a prompt.
static inline int daypass_no_password(char *buffer, int size, int writing, void *context) {
    (void)buffer, (void)size, (void)writing, (void)context;
    return -1;
}

// An unencrypted PrivateKeyInfo; *der moves behind it.
static inline EVP_PKEY *daypass_read_pkcs8(const unsigned char **der, long length) {
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, der, length);
    EVP_PKEY *key = info == NULL ? NULL : EVP_PKCS82PKEY(info);
    PKCS8_PRIV_KEY_INFO_free(info);
    return key;
}

static inline EVP_PKEY *daypass_read_pem(const unsigned char *pem, int length, int private_key) {
    BIO *bio = BIO_new_mem_buf(pem, length);
    EVP_PKEY *key = NULL;
    if (bio != NULL)
        key = private_key ? PEM_read_bio_PrivateKey(bio, NULL, daypass_no_password, NULL)
                          : PEM_read_bio_PUBKEY(bio, NULL, daypass_no_password, NULL);
    BIO_free(bio);
    return key;
}

// What an extension is, beside its value: critical or not, or one of these (X509_get_ext_d2i, and one of ours).
static const int daypass_extension_absent = -1;
static const int daypass_extension_malformed = -3;

static inline int daypass_basic_constraints(const X509 *certificate, int *is_ca) {
    int critical = 0;
    BASIC_CONSTRAINTS *value = X509_get_ext_d2i(certificate, NID_basic_constraints, &critical, NULL);
    if (value == NULL) return critical < 0 ? critical : daypass_extension_malformed;
    *is_ca = value->ca != 0;
    BASIC_CONSTRAINTS_free(value);
    return critical;
}

// Whether an extension holds exactly these bytes, which OpenSSL made of its value: then it is in distinguished encoding,
// and nothing follows it. Frees them.
static inline int daypass_is_spelt(const X509 *certificate, int nid, unsigned char *bytes, int length) {
    const ASN1_OCTET_STRING *text =
        X509_EXTENSION_get_data(X509_get_ext(certificate, X509_get_ext_by_NID(certificate, nid, -1)));
    int same = text != NULL && bytes != NULL && length == ASN1_STRING_length(text)
        && memcmp(bytes, ASN1_STRING_get0_data(text), (size_t)length) == 0;
    OPENSSL_free(bytes);
    return same;
}

// bits: bit n of RFC 5280 §4.2.1.3 as 1 << n
static inline int daypass_key_usage(const X509 *certificate, int *bits) {
    int critical = 0;
    ASN1_BIT_STRING *value = X509_get_ext_d2i(certificate, NID_key_usage, &critical, NULL);
    if (value == NULL) return critical < 0 ? critical : daypass_extension_malformed;
    *bits = 0;
    for (int bit = 0; bit < 9; bit++)
        if (ASN1_BIT_STRING_get_bit(value, bit)) *bits |= 1 << bit;
    unsigned char *bytes = NULL;
    int length = i2d_ASN1_BIT_STRING(value, &bytes);
    ASN1_BIT_STRING_free(value);
    return daypass_is_spelt(certificate, NID_key_usage, bytes, length) ? critical : daypass_extension_malformed;
}

static inline int daypass_extended_key_usage(const X509 *certificate, int *client, int *server) {
    int critical = 0;
    EXTENDED_KEY_USAGE *value = X509_get_ext_d2i(certificate, NID_ext_key_usage, &critical, NULL);
    if (value == NULL) return critical < 0 ? critical : daypass_extension_malformed;
    *client = *server = 0;
    for (int index = 0; index < sk_ASN1_OBJECT_num(value); index++) {
        int nid = OBJ_obj2nid(sk_ASN1_OBJECT_value(value, index));
        *client |= nid == NID_client_auth;
        *server |= nid == NID_server_auth;
    }
    unsigned char *bytes = NULL;
    int length = i2d_EXTENDED_KEY_USAGE(value, &bytes);
    EXTENDED_KEY_USAGE_free(value);
    return daypass_is_spelt(certificate, NID_ext_key_usage, bytes, length) ? critical : daypass_extension_malformed;
}

// The caller frees *names, which is NULL unless the extension is there and can be read.
static inline int daypass_alternative_names(const X509 *certificate, GENERAL_NAMES **names) {
    int critical = 0;
    *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, &critical, NULL);
    if (*names == NULL) return critical < 0 ? critical : daypass_extension_malformed;
    unsigned char *bytes = NULL;
    int length = i2d_GENERAL_NAMES(*names, &bytes);
    return daypass_is_spelt(certificate, NID_subject_alt_name, bytes, length) ? critical : daypass_extension_malformed;
}

static inline int daypass_names_count(const GENERAL_NAMES *names) { return sk_GENERAL_NAME_num(names); }

static inline void daypass_names_free(GENERAL_NAMES *names) { GENERAL_NAMES_free(names); }

// The bytes of a name, borrowed, and their number, if it is a uniformResourceIdentifier; else -1.
static inline int daypass_uri(const GENERAL_NAMES *names, int index, const unsigned char **bytes) {
    const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, index);
    if (name == NULL || name->type != GEN_URI) return -1;
    *bytes = ASN1_STRING_get0_data(name->d.uniformResourceIdentifier);
    return ASN1_STRING_length(name->d.uniformResourceIdentifier);
}

// Seconds from 1970 to the time, or 0 where it is malformed.
static inline int daypass_unix_time(const ASN1_TIME *time, long long *seconds) {
    struct tm broken_down;
    int days = 0, rest = 0;
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int done = epoch != NULL && ASN1_TIME_to_tm(time, &broken_down) == 1
        && ASN1_TIME_diff(&days, &rest, epoch, time) == 1;
    ASN1_TIME_free(epoch);
    *seconds = (long long)days * 86400 + rest;
    return done;
}

static inline STACK_OF(X509) *daypass_stack_new(void) { return sk_X509_new_null(); }

// Frees the stack; the certificates in it keep their owners.
static inline void daypass_stack_free(STACK_OF(X509) *stack) { sk_X509_free(stack); }

static inline int daypass_stack_push(STACK_OF(X509) *stack, X509 *certificate) {
    return sk_X509_push(stack, certificate) > 0;
}

static inline int daypass_stack_count(const STACK_OF(X509) *stack) { return stack == NULL ? 0 : sk_X509_num(stack); }

static inline X509 *daypass_stack_value(const STACK_OF(X509) *stack, int index) {
    return sk_X509_value(stack, index);
}

static const int daypass_purpose_client = X509_PURPOSE_SSL_CLIENT;
static const int daypass_purpose_server = X509_PURPOSE_SSL_SERVER;
static const unsigned long daypass_partial_chain = X509_V_FLAG_PARTIAL_CHAIN;
static const unsigned long daypass_trusted_first = X509_V_FLAG_TRUSTED_FIRST;
static const unsigned long daypass_policy_check = X509_V_FLAG_POLICY_CHECK;

static const int daypass_md_sha256 = NID_sha256;
static const int daypass_md_sha384 = NID_sha384;
static const int daypass_md_sha512 = NID_sha512;
static const int daypass_pk_rsa = NID_rsaEncryption;
static const int daypass_pk_pss = NID_rsassaPss;
static const int daypass_pk_ec = NID_X9_62_id_ecPublicKey;
static const int daypass_pk_ed25519 = NID_ED25519;

// An X509 of version 3 with a random serial number of 127 bits, without extensions and not signed yet, or NULL. `issuer`
// is NULL where it signs itself; the times are in seconds from 1970.
static inline X509 *daypass_certificate_new(
    const char *common_name, const X509 *issuer, EVP_PKEY *key, long long not_before, long long not_after) {
    X509 *certificate = X509_new();
    BIGNUM *serial = BN_new();
    int done = certificate != NULL && serial != NULL && X509_set_version(certificate, X509_VERSION_3) == 1
        && BN_rand(serial, 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1
        && BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(certificate)) != NULL
        && X509_NAME_add_entry_by_txt(
               X509_get_subject_name(certificate), "CN", MBSTRING_UTF8, (const unsigned char *)common_name, -1, -1, 0) == 1
        && X509_set_issuer_name(certificate, X509_get_subject_name(issuer == NULL ? certificate : issuer)) == 1
        && ASN1_TIME_set(X509_getm_notBefore(certificate), (time_t)not_before) != NULL
        && ASN1_TIME_set(X509_getm_notAfter(certificate), (time_t)not_after) != NULL
        && X509_set_pubkey(certificate, key) == 1;
    BN_free(serial);
    if (done) return certificate;
    X509_free(certificate);
    return NULL;
}

// Adds an extension whose value is written as in x509v3_config(5): words of ours, never a name that somebody else chose.
static inline int daypass_certificate_extend(X509 *certificate, X509 *issuer, int nid, const char *value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer == NULL ? certificate : issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_nconf_nid(NULL, &context, nid, value);
    int done = extension != NULL && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return done;
}

static const int daypass_name_dns = GEN_DNS;
static const int daypass_name_uri = GEN_URI;
static const int daypass_name_ip = GEN_IPADD;

static inline GENERAL_NAMES *daypass_names_new(void) { return sk_GENERAL_NAME_new_null(); }

// Adds a name of that kind with exactly those bytes.
static inline int daypass_names_push(GENERAL_NAMES *names, int kind, const unsigned char *bytes, int length) {
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *text = ASN1_STRING_type_new(kind == GEN_IPADD ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);
    if (name != NULL && text != NULL && ASN1_STRING_set(text, bytes, length) == 1) {
        GENERAL_NAME_set0_value(name, kind, text);
        if (sk_GENERAL_NAME_push(names, name) > 0) return 1;
        text = NULL;
    }
    ASN1_STRING_free(text);
    GENERAL_NAME_free(name);
    return 0;
}

static inline int daypass_certificate_name(X509 *certificate, GENERAL_NAMES *names) {
    return X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1;
}

static const int daypass_basic_constraints_nid = NID_basic_constraints;
static const int daypass_key_usage_nid = NID_key_usage;
static const int daypass_extended_key_usage_nid = NID_ext_key_usage;
static const int daypass_subject_key_nid = NID_subject_key_identifier;
static const int daypass_authority_key_nid = NID_authority_key_identifier;

static inline int daypass_gcm_set_tag(EVP_CIPHER_CTX *context, unsigned char *tag) {
    return EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, 16, tag);
}

static inline int daypass_gcm_get_tag(EVP_CIPHER_CTX *context, unsigned char *tag) {
    return EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, tag);
}

#endif
