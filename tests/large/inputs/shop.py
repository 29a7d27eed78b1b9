# A database kept in a file, so that the host can open it afterwards.
import sqlite3
import sys

path = sys.argv[1]
db = sqlite3.connect(path)
db.executescript(
    """
    create table product(id integer primary key, name text not null, price integer not null);
    create table sale(id integer primary key, product integer references product, day integer, pieces integer);
    """
)
db.executemany(
    "insert into product values (?, ?, ?)",
    [(i, f"product {i:03}", 100 + i * 7 % 91) for i in range(200)],
)
db.executemany(
    "insert into sale(product, day, pieces) values (?, ?, ?)",
    [(i * 37 % 200, i % 365, 1 + i * 11 % 9) for i in range(20000)],
)
db.execute("create index sale_product on sale(product, day)")
db.commit()

# A change rolled back must leave nothing behind.
db.execute("delete from sale")
db.rollback()
db.close()

db = sqlite3.connect(path)
print("integrity", db.execute("pragma integrity_check").fetchone()[0])
print("sales", db.execute("select count(*) from sale").fetchone()[0])
top = db.execute(
    """
    select p.name, sum(s.pieces * p.price) as total,
           rank() over (order by sum(s.pieces * p.price) desc, p.name) as place
    from sale s join product p on p.id = s.product
    where s.day between 30 and 120
    group by p.id order by place limit 3
    """
).fetchall()
for name, total, place in top:
    print(place, name, total)
