"""What tests of several rooms share: brokers, proxies, fakes, rigs, and ways to wait."""
