import BrokerTesting
import Testing

@testable import BrokerClient
@testable import CertificateNames

@Suite struct `A name in a certificate` {
    @Test(arguments: [
        ("a.example.com", "a.example.com"), ("A.Example.com", "a.eXample.com"), ("a.example.com.", "a.example.com"),
        ("a.example.com", "*.example.com"), ("localhost", "localhost"),
    ]) func `is that of the host`(host: String, name: String) {
        #expect(CertifiedHost.matches(host, Array(name.utf8)))
    }

    @Test(arguments: [
        ("a.example.com", "b.example.com"), ("a.example.com", "example.com"), ("example.com", "*.example.com"),
        ("a.b.example.com", "*.example.com"), ("example.com", "*.com"), ("com", "*"),
        ("a.example.com", "a*.example.com"),
        ("a.example.com", "*.*.com"), ("a.example.com", ""), ("", ""), ("a.example.com", "a..example.com"),
        (".example.com", "*.example.com"), ("a.example.com", "a.example.com\0"), ("127.1", "127.0.0.1"),
        ("\u{212A}.example.com", "k.example.com"),
    ]) func `is another one`(host: String, name: String) {
        #expect(!CertifiedHost.matches(host, Array(name.utf8)))
    }
}
