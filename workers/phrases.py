"""Everyday questions in several languages: what a fit asks a collection when nobody has asked it anything yet.

Things, people, places, doings and notions, so that most of them are about nothing in most collections.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

from core.ports import Encoder
from core.spaces import Vector
from core.types import Text

_ENGLISH = """
a dog; a horse; an eagle; a snake; a whale; a butterfly; a spider; a frog; a shark; a chicken; a sheep; a monkey;
an elephant; a bear in the snow; a rose; a pine tree; grass; mushrooms; a cactus; autumn leaves; bread; cheese;
soup; a cup of coffee; rice; a birthday cake; grapes; a banana; tomatoes; fish on a plate; wine; ice cream; a car;
a bicycle; a train; an aeroplane; a ship; a bus; a truck; a motorcycle; a rocket; a helicopter; a bridge; a church;
a castle; a skyscraper; a house; a stadium; a lighthouse; a train station; a market; a school; a hospital;
a kitchen; a bathroom; an office; a bedroom; a street at night; a beach; mountains; a river; a waterfall; a desert;
a forest; a lake; an island; the sky; clouds; a sunset; rain; lightning; stars; the moon; fire; a baby; an old man;
a woman smiling; a crowd; a family; a wedding; a doctor; a soldier; a farmer; a dancer; a teacher; children playing;
a portrait; hands; an eye; a hat; shoes; a dress; a suit and tie; sunglasses; a ring; a watch; a handbag; a chair;
a table; a lamp; a bed; a sofa; a mirror; a clock; a door; a window; stairs; a carpet; a knife; a spoon; a bottle;
a pot; a hammer; a saw; a screw; a ladder; a rope; a key; a computer; a telephone; a camera; a television;
a printer; a robot; a circuit board; a battery; a cable; a satellite; a guitar; a piano; a violin; a drum;
a trumpet; a song; a painting; a statue; a poem; a newspaper; a map; a letter; a contract; an invoice; a bar chart;
a table of numbers; a flag; money; a passport; a football match; tennis; swimming; a chess board; running; skiing;
climbing; fishing; cooking; reading a book; driving; sleeping; working at a desk; voting; a war; a storm;
an accident; peace; justice; love; fear; freedom; history; religion; economics; mathematics; chemistry; a virus;
a heart attack; a surgery; medicine; climate change; electricity; a factory; a mine; a harvest; a warehouse;
how to bake bread; the capital of Sweden; who won the election; cheap flights to Rome; opening hours; a job offer;
how a refrigerator works; symptoms of a cold; learning to play chess; terms of delivery; instructions for assembly
"""

_CHINESE = """
狗; 马; 老鹰; 蛇; 鲸鱼; 蝴蝶; 蜘蛛; 青蛙; 鲨鱼; 鸡; 羊; 猴子; 大象; 雪地里的熊; 玫瑰; 松树; 草地; 蘑菇; 仙人掌;
秋叶; 面包; 奶酪; 汤; 一杯咖啡; 米饭; 生日蛋糕; 葡萄; 香蕉; 西红柿; 盘子里的鱼; 葡萄酒; 冰淇淋; 汽车; 自行车; 火车;
飞机; 船; 公共汽车; 卡车; 摩托车; 火箭; 直升机; 桥; 教堂; 城堡; 摩天大楼; 房子; 体育场; 灯塔; 火车站; 市场; 学校;
医院; 厨房; 浴室; 办公室; 卧室; 夜晚的街道; 海滩; 山; 河流; 瀑布; 沙漠; 森林; 湖; 岛屿; 天空; 云; 日落; 下雨; 闪电;
星星; 月亮; 火; 婴儿; 老人; 微笑的女人; 人群; 家庭; 婚礼; 医生; 士兵; 农民; 舞者; 老师; 玩耍的孩子; 肖像; 手; 眼睛;
帽子; 鞋子; 连衣裙; 西装和领带; 太阳镜; 戒指; 手表; 手提包; 椅子; 桌子; 灯; 床; 沙发; 镜子; 时钟; 门; 窗户; 楼梯;
地毯; 刀; 勺子; 瓶子; 锅; 锤子; 锯子; 螺丝; 梯子; 绳子; 钥匙; 电脑; 电话; 照相机; 电视; 打印机; 机器人; 电路板;
电池; 电缆; 卫星; 吉他; 钢琴; 小提琴; 鼓; 小号; 歌曲; 绘画; 雕像; 诗; 报纸; 地图; 信; 合同; 发票; 柱状图; 数字表格;
旗帜; 钱; 护照; 足球比赛; 网球; 游泳; 棋盘; 跑步; 滑雪; 攀岩; 钓鱼; 做饭; 读书; 开车; 睡觉; 在桌前工作; 投票; 战争;
暴风雨; 事故; 和平; 正义; 爱; 恐惧; 自由; 历史; 宗教; 经济; 数学; 化学; 病毒; 心脏病; 手术; 药; 气候变化; 电; 工厂;
矿山; 收获; 仓库; 怎样烤面包; 瑞典的首都; 谁赢了选举; 去罗马的便宜机票; 营业时间; 招聘; 冰箱的工作原理; 感冒的症状;
学下棋; 交货条款; 组装说明
"""


def _read(said: str) -> tuple[str, ...]:
    return tuple(phrase.strip() for phrase in said.replace("\n", " ").split(";"))


PHRASES = (*_read(_ENGLISH), *_read(_CHINESE))
_embedded: WeakKeyDictionary[Encoder, tuple[Vector, ...]] = WeakKeyDictionary()


def questions(encoder: Encoder) -> tuple[Vector, ...]:
    """The vectors that they are searched by: made once by an encoder, as every collection of its model is asked them,
    and that a dozen times while it grows to a million."""
    if encoder not in _embedded:
        _embedded[encoder] = tuple(encoder.encode_queries([Text(phrase) for phrase in PHRASES]))
    return _embedded[encoder]
