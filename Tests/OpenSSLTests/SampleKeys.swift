/// Keys that OpenSSL's command line made for these tests alone.
enum SampleKeys {
    /// A public key on P-256.
    static let p256 = """
        -----BEGIN PUBLIC KEY-----
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEx4oQtQxQZtN3ipbcTA6NS2PrsFqM
        eT91L+dMMnaFx0G6+q/3zCxL7DlCMK/bMndE39iEivoUb+Wq5OKq9OW8uQ==
        -----END PUBLIC KEY-----
        """

    /// Its private half, as PKCS #8.
    static let p256Private = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgC03Wq2VqPcv5+fHO
        m2QVxcIx2wFLxelP99kA7i8AjUyhRANCAATHihC1DFBm03eKltxMDo1LY+uwWox5
        P3Uv50wydoXHQbr6r/fMLEvsOUIwr9syd0Tf2ISK+hRv5ark4qr05by5
        -----END PRIVATE KEY-----
        """

    /// The same in the older form of SEC 1.
    static let p256Traditional = """
        -----BEGIN EC PRIVATE KEY-----
        MHcCAQEEIAtN1qtlaj3L+fnxzptkFcXCMdsBS8XpT/fZAO4vAI1MoAoGCCqGSM49
        AwEHoUQDQgAEx4oQtQxQZtN3ipbcTA6NS2PrsFqMeT91L+dMMnaFx0G6+q/3zCxL
        7DlCMK/bMndE39iEivoUb+Wq5OKq9OW8uQ==
        -----END EC PRIVATE KEY-----
        """

    /// A certificate over it.
    static let p256Certificate = """
        -----BEGIN CERTIFICATE-----
        MIIBdjCCARugAwIBAgIUAroIVpQI/BWmyt0WG6YKKyD45H4wCgYIKoZIzj0EAwIw
        DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjExMTU4MzNaGA8yMTI2MTAyODExNTgz
        M1owDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABMeK
        ELUMUGbTd4qW3EwOjUtj67BajHk/dS/nTDJ2hcdBuvqv98wsS+w5QjCv2zJ3RN/Y
        hIr6FG/lquTiqvTlvLmjUzBRMB0GA1UdDgQWBBR6xwe15Hq18ZJ7NFuuVhib6l8X
        PTAfBgNVHSMEGDAWgBR6xwe15Hq18ZJ7NFuuVhib6l8XPTAPBgNVHRMBAf8EBTAD
        AQH/MAoGCCqGSM49BAMCA0kAMEYCIQCJjSsb3f79n1c4ROL0HHeL9NktL6AuPqfg
        j+kTQUB/fAIhANxm4FXMTAWLvBYJ7hx3UOdfd65fwgLAlfy1yhITq8zy
        -----END CERTIFICATE-----
        """

    /// A public key for Ed25519.
    static let ed25519 = """
        -----BEGIN PUBLIC KEY-----
        MCowBQYDK2VwAyEAV/CyqLdXFsWMETOZDwJv1Gb5w1Q2q1nsci4jmDMXeYE=
        -----END PUBLIC KEY-----
        """

    /// Its private half.
    static let ed25519Private = """
        -----BEGIN PRIVATE KEY-----
        MC4CAQAwBQYDK2VwBCIEIG03MbyPuQb9UPo/zA+IlVJGPYxTx0amNjgT6cMkaQDm
        -----END PRIVATE KEY-----
        """

    /// A key on P-256 whose curve is spelt out in parameters.
    static let explicitCurve = """
        -----BEGIN PUBLIC KEY-----
        MIIBSzCCAQMGByqGSM49AgEwgfcCAQEwLAYHKoZIzj0BAQIhAP////8AAAABAAAA
        AAAAAAAAAAAA////////////////MFsEIP////8AAAABAAAAAAAAAAAAAAAA////
        ///////////8BCBaxjXYqjqT57PrvVV2mIa8ZR0GsMxTsPY7zjw+J9JgSwMVAMSd
        NgiG5wSTamZ44ROdJreBn36QBEEEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5
        RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9QIhAP////8AAAAA
        //////////+85vqtpxeehPO5ysL8YyVRAgEBA0IABMKiVTu3b81/JRncGrn/9xMe
        6jQ4Di2zq34W5vrOF+DcxrPetulG8j8eRPx0OJkNbkTMOCFR88+8nHwEj/HkvME=
        -----END PUBLIC KEY-----
        """

    /// Its private half.
    static let explicitCurvePrivate = """
        -----BEGIN PRIVATE KEY-----
        MIIBeQIBADCCAQMGByqGSM49AgEwgfcCAQEwLAYHKoZIzj0BAQIhAP////8AAAAB
        AAAAAAAAAAAAAAAA////////////////MFsEIP////8AAAABAAAAAAAAAAAAAAAA
        ///////////////8BCBaxjXYqjqT57PrvVV2mIa8ZR0GsMxTsPY7zjw+J9JgSwMV
        AMSdNgiG5wSTamZ44ROdJreBn36QBEEEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg
        9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9QIhAP////8A
        AAAA//////////+85vqtpxeehPO5ysL8YyVRAgEBBG0wawIBAQQgFVakwC32PHep
        uDhiQ/wA0B/BkYbBUTYQeS1c/WNwK9ahRANCAATColU7t2/NfyUZ3Bq5//cTHuo0
        OA4ts6t+Fub6zhfg3Maz3rbpRvI/HkT8dDiZDW5EzDghUfPPvJx8BI/x5LzB
        -----END PRIVATE KEY-----
        """

    /// A key encrypted by PKCS #8 with a password.
    static let encrypted = """
        -----BEGIN ENCRYPTED PRIVATE KEY-----
        MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAjGAj+0QCrTigICCAAw
        DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEENOmP8MnOYFcxQCqZsg7vZ0EgZBw
        3LTzJn1c3meqs+c5O7MoCOE5KI5Jev+HbQWesHg0RNUVeNgsmhrxd24mcf2vXeaO
        fX1qmifSwaz6m2XMRyOQqMxmpA6f4+D7mdk/ewTiCfW7/OzZPH9QqXFQPXU+V+XV
        42F9qypGw5ugMXw3BQHotD1bIkd7q8bRqU95c+RRDZqnR+0bxzT5AePNVj2BXxE=
        -----END ENCRYPTED PRIVATE KEY-----
        """

    /// A key encrypted in the way of PEM itself.
    static let encryptedTraditional = """
        -----BEGIN EC PRIVATE KEY-----
        Proc-Type: 4,ENCRYPTED
        DEK-Info: AES-256-CBC,D31B8B7B4F7B65664D5B1467A3044DD5

        i7JS7YC3ng5fpQo10ta0FfziJf+ufOQfpwFZV/oy0a5mqMOvV7rdLL8Nmyj+oN6Z
        Jg2l7/XJo0ujdjwk/NTCvh722nSSHsI16Tib8mdhpmL50jYk2rT/kJTiEj1asfk0
        yUONwYB2w1Bsk/t6g+j9Zdn+ikpbYb0bUzx3iJIh3V8=
        -----END EC PRIVATE KEY-----
        """

    /// An RSA key of 1024 bits.
    static let rsa1024 = """
        -----BEGIN PUBLIC KEY-----
        MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCkL1tUdbuZ4SQ7WLC+G2qiKQ4U
        Q03vxzcRWJm9J6/s4+4T4KY8SWVMb4s4rWBqZt5c72tWf6rQ0TMQOcT8c6o6MCpW
        qs5X4n0/ZJpaSkOVbm8/OmlE/UcZvYXxwecQxoaKKCVoRC+DTJq2U6sFAjGLy3aa
        SoJTfRah0gFYofWv5wIDAQAB
        -----END PUBLIC KEY-----
        """

    /// An RSA key of 2048 bits with the exponent 3.
    static let rsaExponent3 = """
        -----BEGIN PUBLIC KEY-----
        MIIBIDANBgkqhkiG9w0BAQEFAAOCAQ0AMIIBCAKCAQEAvC/jJmi1uMlQw0sdnAGL
        ElgVU2lKV9vdFuDNF/smFlAZ3M37ve4Re1Yn4WsFNlFV6ZPJA2MaTNAa9pJae7an
        x+7c/YMnGzw9mswtiXV4912vlQ4qJhjbfPxqesHpZ96JF2EfMsnbTxfk1xpfF6ve
        Ynv+UMcCVZmRcO0vxnNyj9gelO3fPveDPJt/ytMWyKJXVzFAXn3WP42xfg36R8Gf
        VwpDbOtwZ4+hToqPAK8tvpBu6S2fifOm9wae4rxAGa4ht3JgM3zRunhcEpl3adjG
        YeyXdxqjk9VVA0t8Ki0eYNgIz5ZejPwVVOlY2L6nWYibrbG8w1sWQPQHOEt786xq
        awIBAw==
        -----END PUBLIC KEY-----
        """

    /// An RSA key that is restricted to PSS by its algorithm identifier.
    static let rsaPSS = """
        -----BEGIN PUBLIC KEY-----
        MIIBIDALBgkqhkiG9w0BAQoDggEPADCCAQoCggEBAJkht9QJ/qOdjEPbsBKEBaq/
        utytu/nwtuJbdQSYP9dTvdiNCx+eTZRT3han0o/JCRRBgwzgpMO8KbGsqRrP7oF3
        X9a48XYU1aahBH9lbq++/k1zw8ITo9LGpzuDxIv+dJ6/NmA2ZXD6fQc499R6OMBP
        q6SSH3UvlQRSj3J8SEIKu5YDwC9x//IB8hQzJXGh85m2FXY/apTnomwavKXJnYkT
        PmIahKFkoPaPEMu+6BzOj3kQwyaj9OpC8y4jDZOMIi9ZcAcQ63M2RBzdeZEmvkNi
        j0rJ87XNIpA1cBvhPqGFLO/6/ZJkusp9PMg5LmW4LsuC/rBxW85agFKdZ+hotNEC
        AwEAAQ==
        -----END PUBLIC KEY-----
        """

    /// A key on a curve that is none of ours.
    static let secp256k1 = """
        -----BEGIN PUBLIC KEY-----
        MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEDz+EHn146siWAYF/zEAhmFRjzCcTUXVd
        yBcIWPbG9xs7CrmAikrnguHkIrZ//LuANo2ayBPDWInEmPSIC22WSQ==
        -----END PUBLIC KEY-----
        """

    /// A key for agreement, not for signatures.
    static let x25519 = """
        -----BEGIN PUBLIC KEY-----
        MCowBQYDK2VuAyEAvCWCUfcEFnmG9g9/A+hOOuFtv3ru5e2s+yWvBmLg108=
        -----END PUBLIC KEY-----
        """

    /// A signature algorithm that is not ours.
    static let ed448 = """
        -----BEGIN PUBLIC KEY-----
        MEMwBQYDK2VxAzoAVKSDPdzhVJWipo/0/JCigHAju0ozhrNKlKcMOrhnPUaRS7T/
        tX3HYFwrezuNQwb3x3IQUCLWrGUA
        -----END PUBLIC KEY-----
        """

    /// A modulus of 2048 bits, from an RSA key that nothing is wrong with; in hexadecimal.
    static let modulus =
        "a2b451a07d0aa5f96e455671513550514a8a5b462ebef717094fa1fee82224e637f9746d3f7cafd31878d80325b6ef5a"
        + "1700f65903b469429e89d6eac8845097b5ab393189db92512ed8a7711a1253facd20f79c15e8247f3d3e42e46e48c98e"
        + "254a2fe9765313a03eff8f17e1a029397a1fa26a8dce26f490ed81299615d9814c22da610428e09c7d9658594266f5c0"
        + "21d0fceca08d945a12be82de4d1ece6b4c03145b5d3495d4ed5411eb878daf05fd7afc3e09ada0f1126422f590975a19"
        + "69816f48698bcbba1b4d9cae79d460d8f9f85e7975005d9bc22c4e5ac0f7c1a45d12569a62807d3b9a02e5a530e77306"
        + "6f453d1f5b4c2e9cf7820283f742b9d5"

    /// A modulus made in the way of the broken generator: p = k·M + (65537ᵃ mod M), M the product of the first 126 primes.
    static let rocaModulus =
        "e6835aeb1fa37ca678d0aff26d740ed6e4e3b870a7e366f4af5bda18d3bf89305a12f56c08d77f25f98671f202e930c6"
        + "d15ad39b0bcf9a163aff7d429c2239d88633611c6f8fa4aa3325d77a39fddd770c4b2722abf0f320785c9e4138fe38a4"
        + "7f09fb68075de4e8cd1e6b0d7a48e5e77b9d0c58937a05b57046955771d62b4df2ca4afbb02b6eef95dd6a4afe44e830"
        + "16a6b9a8e01fdd1e40607cc4e7b47d95ac93096015346db0374251a335296a8315536097f6dfd2eba1621dca58184164"
        + "f5f44eac21480cbc03b238ba6aa6b28718ba14315714a6a740d0abbfdf5b76734f01dcc2560ebab2dea257b23a1b6dc9"
        + "6bd3218025c7be267aba750363ae6997"
}
