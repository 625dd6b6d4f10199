import BrokerTesting
import Foundation
import VectorFiles

/// Keys that no certificate may have, each as a SubjectPublicKeyInfo.
enum HardKeys {
    static let explicitCurve = decoded(
        "MIIBSzCCAQMGByqGSM49AgEwgfcCAQEwLAYHKoZIzj0BAQIhAP////8AAAABAAAAAAAAAAAAAAAA////////////////MFsE"
            + "IP////8AAAABAAAAAAAAAAAAAAAA///////////////8BCBaxjXYqjqT57PrvVV2mIa8ZR0GsMxTsPY7zjw+J9JgSwMVAMSd"
            + "NgiG5wSTamZ44ROdJreBn36QBEEEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84z"
            + "V2sxXs7LtkBoN79R9QIhAP////8AAAAA//////////+85vqtpxeehPO5ysL8YyVRAgEBA0IABMKiVTu3b81/JRncGrn/9xMe"
            + "6jQ4Di2zq34W5vrOF+DcxrPetulG8j8eRPx0OJkNbkTMOCFR88+8nHwEj/HkvME=")
    static let secp256k1 = decoded(
        "MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEDz+EHn146siWAYF/zEAhmFRjzCcTUXVdyBcIWPbG9xs7CrmAikrnguHkIrZ//LuA"
            + "No2ayBPDWInEmPSIC22WSQ==")

    static func rsa(bits: Int, exponent: UInt64 = 65537) -> [UInt8] {
        // The highest and the lowest bit are set; whether it is the product of two primes is not asked.
        var modulus = [UInt8](repeating: 0x5A, count: (bits + 7) / 8)
        modulus[0] = UInt8(1 << ((bits - 1) % 8))
        modulus[modulus.count - 1] |= 1
        return rsa(modulus, exponent: exponent)
    }

    static let evenModulus = rsa([0x80] + [UInt8](repeating: 0x5A, count: 255))
    static let roca = rsa([UInt8](hexadecimal: rocaModulus))

    /// The Ed25519 key of order 1.
    static let smallOrder = DER.sequence(
        DER.sequence(DER.object(1, 3, 101, 112)), DER.bits([1] + [UInt8](repeating: 0, count: 31)))

    private static func rsa(_ modulus: [UInt8], exponent: UInt64 = 65537) -> [UInt8] {
        let algorithm = DER.sequence(DER.object(1, 2, 840, 113549, 1, 1, 1), DER.value(0x05, []))
        return DER.sequence(algorithm, DER.bits(DER.sequence(DER.integer(modulus), DER.integer(exponent))))
    }

    private static func decoded(_ base64: String) -> [UInt8] {
        guard let data = Data(base64Encoded: base64) else { preconditionFailure("not base64") }
        return [UInt8](data)
    }

    /// Made in the way of the broken generator (CVE-2017-15361).
    private static let rocaModulus =
        "e6835aeb1fa37ca678d0aff26d740ed6e4e3b870a7e366f4af5bda18d3bf89305a12f56c08d77f25f98671f202e930c6"
        + "d15ad39b0bcf9a163aff7d429c2239d88633611c6f8fa4aa3325d77a39fddd770c4b2722abf0f320785c9e4138fe38a4"
        + "7f09fb68075de4e8cd1e6b0d7a48e5e77b9d0c58937a05b57046955771d62b4df2ca4afbb02b6eef95dd6a4afe44e830"
        + "16a6b9a8e01fdd1e40607cc4e7b47d95ac93096015346db0374251a335296a8315536097f6dfd2eba1621dca58184164"
        + "f5f44eac21480cbc03b238ba6aa6b28718ba14315714a6a740d0abbfdf5b76734f01dcc2560ebab2dea257b23a1b6dc9"
        + "6bd3218025c7be267aba750363ae6997"
}
