"""Writes quantiles.csv: upper quantiles of the normal and chi-square
distributions to 20 digits, for the tests of this package.

Needs mpmath (any version); compares with scipy where that is installed.
Run: python3 quantiles.py > quantiles.csv
"""
import mpmath as mp

mp.mp.dps = 40
ALPHAS = ["1e-300", "1e-20", "1e-12", "1e-6", "0.001", "0.01", "0.05", "0.1", "0.25",
          "0.5", "0.75", "0.9", "0.95", "0.99", "0.999", "0.999999"]
DFS = [1, 2, 3, 4, 5, 9, 10, 19, 29, 30, 31, 49, 99, 200, 499, 999]


def normal(alpha):
    x = -mp.sqrt(2) * mp.erfinv(2 * alpha - 1) if alpha > mp.mpf("1e-15") else mp.sqrt(-2 * mp.log(alpha))
    return mp.findroot(lambda z: mp.log(mp.erfc(z / mp.sqrt(2)) / 2) - mp.log(alpha), x)


def tail(x, df, upper):
    a = mp.mpf(df) / 2
    if upper:
        return mp.gammainc(a, x / 2, mp.inf, regularized=True)
    return mp.gammainc(a, 0, x / 2, regularized=True)


def chi_square(alpha, df):
    upper = alpha <= 0.5
    goal = mp.log(alpha if upper else 1 - alpha)
    low, high = mp.mpf(0), mp.mpf(df)
    while mp.log(tail(high, df, upper)) > goal and upper or mp.log(tail(high, df, upper)) < goal and not upper:
        low, high = high, high * 2
    for _ in range(400):
        middle = (low + high) / 2
        if (mp.log(tail(middle, df, upper)) > goal) == upper:
            low = middle
        else:
            high = middle
        if high - low < high * mp.mpf("1e-25"):
            break
    return (low + high) / 2


print("df,alpha,quantile")
for text in ALPHAS:
    # The value that a 64-bit float reads from the text, not the text's own.
    alpha = mp.mpf(float(text))
    print(f"0,{text},{mp.nstr(normal(alpha), 20)}")
    for df in DFS:
        value = chi_square(alpha, df)
        print(f"{df},{text},{mp.nstr(value, 20)}")
        try:
            from scipy import stats
            seen = stats.chi2.isf(float(text), df)
            assert abs(seen - value) <= 1e-9 * abs(value), (text, df, seen, value)
        except ImportError:
            pass
